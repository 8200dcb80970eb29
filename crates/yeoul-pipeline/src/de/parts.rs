//! What a node is made of, as serde walks it: entries of a map, items of a list, a kind with its
//! settings. What was wrong before is left out, and every error gets its place here.

use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::node::De;
use super::{Context, Error, Kind};
use crate::tree::{Key, Node, Place, Value};

pub(super) struct Entries<'a> {
    pub(super) rest: &'a [(Key, Node)],
    pub(super) seen: HashSet<&'a str>,
    pub(super) value: Option<(&'a Key, &'a Node)>,
    pub(super) cx: &'a Context<'a>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        while let Some(((key, value), rest)) = self.rest.split_first() {
            self.rest = rest;
            if self.cx.skips(key.place.start) {
                continue;
            }
            let skip = || Some((key.place.start, key.name.clone()));
            if !self.seen.insert(&key.name) {
                let text = format!("`{}` is set twice\nKeep one of them.", key.name);
                return Err(Error::from(Kind::Message(text)).within(key.place, skip()));
            }
            self.value = Some((key, value));
            let name: StrDeserializer<'_, Error> = key.name.as_str().into_deserializer();
            return seed
                .deserialize(name)
                .map(Some)
                .map_err(|error| error.within(key.place, skip()));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let result = seed.deserialize(De { node, cx: self.cx });
        // The place of a map or list is its first character; its key says more.
        let place = match node.value {
            Value::Map(_) | Value::List(_) | Value::Null => key.place,
            _ => node.place,
        };
        let skip = Some((key.place.start, key.name.clone()));
        result.map_err(|error| self.cx.hide(node, error).within(place, skip))
    }
}

pub(super) struct Items<'a> {
    pub(super) rest: &'a [Node],
    pub(super) cx: &'a Context<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        while let Some((node, rest)) = self.rest.split_first() {
            self.rest = rest;
            if self.cx.skips(node.place.start) {
                continue;
            }
            let skip = Some((node.place.start, String::new()));
            return seed
                .deserialize(De { node, cx: self.cx })
                .map(Some)
                .map_err(|error| self.cx.hide(node, error).within(node.place, skip));
        }
        Ok(None)
    }
}

/// `kind: settings`, or only `kind`.
pub(super) struct Tagged<'a> {
    pub(super) name: &'a str,
    pub(super) place: Place,
    pub(super) value: Option<&'a Node>,
}

pub(super) struct TaggedDe<'a> {
    pub(super) tagged: Tagged<'a>,
    pub(super) cx: &'a Context<'a>,
}

impl<'de> EnumAccess<'de> for TaggedDe<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.tagged.name.into_deserializer();
        let place = self.tagged.place;
        match seed.deserialize(name) {
            Ok(value) => Ok((value, self)),
            Err(error) => Err(error.within(place, None)),
        }
    }
}

impl<'de> VariantAccess<'de> for TaggedDe<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.tagged.value {
            None => Ok(()),
            Some(node) => Deserialize::deserialize(De { node, cx: self.cx }),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        // `decode: json` is `decode: { json: {} }`.
        let empty = Node { value: Value::Map(Vec::new()), place: self.tagged.place };
        let node = self.tagged.value.unwrap_or(&empty);
        let result = seed.deserialize(De { node, cx: self.cx });
        result.map_err(|error| error.within(self.tagged.place, None))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        match self.tagged.value {
            Some(node) => De::deserialize_seq(De { node, cx: self.cx }, visitor),
            None => Err(Kind::Message("expected a list".to_owned()).into()),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let empty = Node { value: Value::Map(Vec::new()), place: self.tagged.place };
        let node = self.tagged.value.unwrap_or(&empty);
        let result = De { node, cx: self.cx }.map(visitor, "a map");
        result.map_err(|error| error.within(self.tagged.place, None))
    }
}

//! What Kafka's consumers put into the opaque parts of the group protocol: the topics they
//! subscribe to, the partitions they were given. Read to know which offsets are still wanted,
//! written so that tools can show this node's own components.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};

/// The protocol type of Kafka's consumers.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";
/// The oldest version of both forms, which every tool reads.
const VERSION: i16 = 0;

/// The topics of a subscription; `None` when it is not one. Later versions only add to its end.
pub(crate) fn subscribed_topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let (version, rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < VERSION {
        return None;
    }
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = BTreeSet::new();
    for _ in 0..u32::try_from(i32::from_be_bytes(*count)).ok()? {
        let (len, after) = rest.split_first_chunk::<2>()?;
        let len = usize::try_from(i16::from_be_bytes(*len)).ok()?;
        let (name, after) = after.split_at_checked(len)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
        rest = after;
    }
    Some(topics)
}

/// A subscription to these topics.
pub(crate) fn subscription<'a>(topics: impl ExactSizeIterator<Item = &'a str>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    put_count(&mut out, topics.len());
    topics.for_each(|topic| put_text(&mut out, topic));
    put_no_user_data(&mut out);
    out.freeze()
}

/// An assignment of these partitions.
pub(crate) fn assignment(partitions: &BTreeMap<&str, Vec<i32>>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    put_count(&mut out, partitions.len());
    for (topic, numbers) in partitions {
        put_text(&mut out, topic);
        put_count(&mut out, numbers.len());
        numbers.iter().for_each(|number| out.put_i32(*number));
    }
    put_no_user_data(&mut out);
    out.freeze()
}

fn put_count(out: &mut BytesMut, count: usize) {
    out.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
}

/// A topic's name, so at most 249 bytes.
fn put_text(out: &mut BytesMut, text: &str) {
    out.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
    out.put_slice(text.as_bytes());
}

fn put_no_user_data(out: &mut BytesMut) {
    out.put_i32(-1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_is_read_as_it_was_written_and_nonsense_is_none() {
        let topics = ["a", "topic.b"];
        let bytes = subscription(topics.iter().copied());
        let read = subscribed_topics(&bytes).expect("a subscription");
        assert_eq!(read, topics.map(str::to_owned).into());
        // Version 1 has the owned partitions behind the user data.
        let mut later = bytes.to_vec();
        later[1] = 1;
        later.extend([0, 0, 0, 0]);
        assert_eq!(subscribed_topics(&later), Some(read));
        for cut in 0..bytes.len() - 4 {
            assert_eq!(subscribed_topics(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(subscribed_topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(subscribed_topics(b"m"), None);
    }

    #[test]
    fn an_assignment_has_kafkas_bytes() {
        let bytes = assignment(&BTreeMap::from([("t", vec![0, 2])]));
        let golden = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x02\xff\xff\xff\xff";
        assert_eq!(&bytes[..], golden);
    }
}

//! `LOOKUP(x, 'name'[, default])`.
//!
//! Invariant: one query sees one state of a lookup, taken when it first needs it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::catalog::Catalog;
use crate::sources::LookupMap;

/// The function of one query.
pub(crate) struct Lookup {
    catalog: Arc<Catalog>,
    pinned: Mutex<BTreeMap<String, Arc<LookupMap>>>,
    signature: Signature,
}

impl Lookup {
    pub(crate) fn new(catalog: Arc<Catalog>) -> Self {
        let signature = Signature::user_defined(Volatility::Stable);
        Self { catalog, pinned: Mutex::default(), signature }
    }

    fn pairs(&self, name: &str) -> Result<Arc<LookupMap>> {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pairs) = pinned.get(name) {
            return Ok(Arc::clone(pairs));
        }
        let Some(pairs) = self.catalog.lookup(name) else {
            let names = self.catalog.lookup_names().join(", ");
            return exec_err!("LOOKUP: no lookup `{name}`; there is: {names}");
        };
        pinned.insert(name.to_owned(), Arc::clone(&pairs));
        Ok(pairs)
    }
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("lookup")
    }
}

impl PartialEq for Lookup {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalog, &other.catalog)
    }
}

impl Eq for Lookup {}

impl Hash for Lookup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        "lookup".hash(state);
    }
}

impl ScalarUDFImpl for Lookup {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        if given.len() < 2 || given.len() > 3 {
            return plan_err!("LOOKUP takes 2 to 3 arguments, not {}", given.len());
        }
        Ok(vec![DataType::Utf8; given.len()])
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = |at: usize| match args.args.get(at) {
            None => Ok(None),
            Some(ColumnarValue::Scalar(value)) => Ok(value.try_as_str().flatten()),
            Some(ColumnarValue::Array(_)) => {
                exec_err!("LOOKUP: argument {} must be a constant", at + 1)
            }
        };
        let Some(name) = constant(1)? else {
            return exec_err!("LOOKUP: the second argument is a lookup's name");
        };
        let (pairs, missing) = (self.pairs(name)?, constant(2)?);
        let Some(first) = args.args.first() else { return exec_err!("LOOKUP without arguments") };
        let scalar = matches!(first, ColumnarValue::Scalar(_));
        let keys =
            cast(&first.to_array(if scalar { 1 } else { args.number_rows })?, &DataType::Utf8)?;
        let values = keys.as_string::<i32>().iter().map(|key| {
            let found = key.and_then(|key| pairs.get(key)).map(String::as_str);
            found.or(missing)
        });
        let values: ArrayRef = Arc::new(values.collect::<StringArray>());
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?));
        }
        Ok(ColumnarValue::Array(values))
    }
}

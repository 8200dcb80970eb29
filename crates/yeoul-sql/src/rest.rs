//! Places of wide documents that have no column: with the type their values had when the table
//! was made, so that an answer is the same whether a place has a column or not.
//!
//! Also columns that came later than some files: what those rows hold there is in `_rest`.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{CastKind, DataType, ExactNumberInfo, Expr, Ident};
use yeoul_base::Store;
use yeoul_format::{ColumnType, REST_COLUMN, TableColumns};

use crate::dialect;

/// See the module's head. Of the one table of a query that keeps a rest.
#[derive(Debug, Default)]
pub(crate) struct Places {
    types: BTreeMap<String, ColumnType>,
    later: BTreeMap<String, ColumnType>,
}

impl Places {
    /// Of a table; nothing is known of one that was made without a look at its records.
    pub(crate) fn of(store: &dyn Store, table: &str) -> Self {
        let Ok(Some(columns)) = TableColumns::load(store, table) else { return Self::default() };
        let later = columns.columns.iter().filter(|column| column.later);
        let later = later.map(|it| (it.extract.name.clone(), it.extract.ty.clone())).collect();
        let types = columns.paths.into_iter().collect();
        Self { types, later }
    }

    /// What JSON has at a place, as the type its values had. `name`: the dotted path.
    pub(crate) fn typed(&self, name: &str, column: Expr, path: &str) -> Expr {
        of_type(self.types.get(name), column, path)
    }

    /// A column that some files lack, with what their rows have in `_rest`.
    pub(crate) fn whole(&self, expr: &Expr) -> Option<Expr> {
        let (name, qualifiers) = match expr {
            Expr::Identifier(ident) => (ident, &[][..]),
            Expr::CompoundIdentifier(idents) => idents.split_last()?,
            _ => return None,
        };
        let ty = self.later.get(&name.value)?;
        if name.value.contains('"') {
            return None;
        }
        let mut rest = qualifiers.to_vec();
        rest.push(Ident::with_quote('"', REST_COLUMN));
        let path: String = name.value.split('.').map(|key| format!(".\"{key}\"")).collect();
        let found = of_type(Some(ty), Expr::CompoundIdentifier(rest), &format!("${path}"));
        Some(dialect::call("coalesce", [expr.clone(), found]))
    }
}

fn of_type(ty: Option<&ColumnType>, column: Expr, path: &str) -> Expr {
    let function = match ty {
        Some(ColumnType::Json | ColumnType::Array(_) | ColumnType::Struct(_)) => "json_query",
        _ => "json_value",
    };
    let found = dialect::call(function, [column, dialect::text(path)]);
    let data_type = match ty {
        Some(ColumnType::Int) => DataType::BigInt(None),
        Some(ColumnType::Double) => DataType::Double(ExactNumberInfo::None),
        Some(ColumnType::Bool) => DataType::Boolean,
        _ => return found,
    };
    // One value that is otherwise than those that were looked at is null, as in a column.
    Expr::Cast {
        kind: CastKind::TryCast,
        expr: Box::new(found),
        data_type,
        array: false,
        format: None,
    }
}

//! Names as people write them → names as the catalog spells them, in the syntax tree.
//!
//! Names keep their case. An unquoted name without an exact match means the only name that
//! differs from it in case, so `SELECT stationname` finds `stationName`. Planning then runs with
//! exact names only.
//!
//! Invariant: a name that is found nowhere is left as it was written: the planner reports it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, ExactNumberInfo, Expr, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, Statement,
    TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use yeoul_format::REST_COLUMN as REST;
use yeoul_table::{OFFSET, OFFSETS, PARTITION};

use crate::catalog::{Catalog, DRUID, Found, Part};
use crate::dialect;
use crate::error::{ErrorKind, SqlError};
use crate::rest::Places;

/// The inputs of a statement, by schema and name.
pub(crate) type Inputs = BTreeMap<(&'static str, String), Found>;

/// The function that reads a place within JSON.
const JSON_VALUE: &str = "json_value";

/// How columns without a name are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unnamed {
    /// By their expression.
    #[default]
    Expression,
    /// `EXPR$0`, as Druid does.
    Numbered,
}

/// Rewrites the names in `query` and returns what they refer to.
pub(crate) fn resolve(catalog: &Catalog, query: &mut Statement) -> Result<Inputs, SqlError> {
    let mut seen = Seen::default();
    let _ = Visit::visit(query, &mut seen);
    let mut inputs = Inputs::new();
    let (mut wide, mut places) = (0, Places::default());
    for relation in &seen.relations {
        if seen.is_cte(relation) {
            continue;
        }
        let found = find(catalog, relation, seen.origin)?;
        let fields = found.provider.schema();
        seen.columns.extend(fields.fields().iter().map(|field| field.name().clone()));
        seen.qualifiers.insert(found.name.clone());
        if fields.field_with_name(REST).is_ok() {
            wide += 1;
            places = match found.schema {
                DRUID => Places::of(catalog.store().as_ref(), &found.name),
                _ => Places::default(),
            };
        }
        inputs.entry((found.schema, found.name.clone())).or_insert(found);
    }
    // Of two inputs with a rest nobody knows which one a name is in.
    let mut rewrite = Rewrite { catalog, seen: &seen, rest: wide == 1, places, texts: Vec::new() };
    match VisitMut::visit(query, &mut rewrite) {
        ControlFlow::Continue(()) => Ok(inputs),
        ControlFlow::Break(error) => Err(error),
    }
}

fn idents(name: &ObjectName) -> Option<Vec<&Ident>> {
    name.0.iter().map(ObjectNamePart::as_ident).collect()
}

fn part(ident: &Ident) -> Part<'_> {
    Part { value: &ident.value, quoted: ident.quote_style.is_some() }
}

fn find(catalog: &Catalog, name: &ObjectName, origin: bool) -> Result<Found, SqlError> {
    let Some(idents) = idents(name) else {
        return Err(SqlError::new(ErrorKind::Unsupported, format!("`{name}` is not a table")));
    };
    let parts: Vec<_> = idents.iter().map(|ident| part(ident)).collect();
    catalog.find(&parts, origin).map_err(|error| match idents.first() {
        Some(first) => error.at(first.span.start.line, first.span.start.column),
        None => error,
    })
}

/// What the statement itself says of names.
#[derive(Default)]
struct Seen {
    relations: Vec<ObjectName>,
    ctes: BTreeSet<String>,
    /// Columns of the inputs, and names the query gives to columns.
    columns: BTreeSet<String>,
    /// What may stand before a column's name.
    qualifiers: BTreeSet<String>,
    /// Whether the columns of origin are asked for.
    origin: bool,
}

impl Seen {
    fn is_cte(&self, name: &ObjectName) -> bool {
        match name.0.as_slice() {
            [ObjectNamePart::Identifier(ident)] => self.cte_name(ident).is_some(),
            _ => false,
        }
    }

    fn cte_name(&self, ident: &Ident) -> Option<&str> {
        one_of(part(ident), &self.ctes).ok().flatten()
    }

    fn note(&mut self, ident: &Ident) {
        self.origin |= [OFFSET, OFFSETS, PARTITION].contains(&ident.value.as_str());
    }
}

fn one_of<'a>(part: Part<'_>, names: &'a BTreeSet<String>) -> Result<Option<&'a str>, SqlError> {
    if let Some(exact) = names.get(part.value) {
        return Ok(Some(exact));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Ok(part.among(&names)?.and_then(|at| names.get(at).copied()))
}

impl Visitor for Seen {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.ctes.insert(cte.alias.name.value.clone());
            self.qualifiers.insert(cte.alias.name.value.clone());
            self.columns.extend(cte.alias.columns.iter().map(|column| column.name.value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.columns.insert(alias.value.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let alias = match factor {
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::UNNEST { alias, .. } => alias.as_ref(),
            _ => None,
        };
        if let Some(alias) = alias {
            self.qualifiers.insert(alias.name.value.clone());
            self.columns.extend(alias.columns.iter().map(|column| column.name.value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.relations.push(relation.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.note(ident),
            Expr::CompoundIdentifier(idents) => idents.iter().for_each(|ident| self.note(ident)),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

struct Rewrite<'a> {
    catalog: &'a Catalog,
    seen: &'a Seen,
    /// Whether a name without a column is read from `_rest`.
    rest: bool,
    places: Places,
    /// For each SELECT that is being walked, its columns that are names, as they are written.
    texts: Vec<Vec<Option<String>>>,
}

impl Rewrite<'_> {
    fn spell(ident: &mut Ident, names: &BTreeSet<String>) -> Result<(), SqlError> {
        let found = one_of(part(ident), names)
            .map_err(|error| error.at(ident.span.start.line, ident.span.start.column))?;
        if let Some(name) = found {
            ident.value = name.to_owned();
            ident.quote_style = Some('"');
        }
        Ok(())
    }

    fn relation(&self, name: &mut ObjectName) -> Result<(), SqlError> {
        if let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice()
            && let Some(cte) = self.seen.cte_name(ident)
        {
            *ident = Ident { value: cte.to_owned(), quote_style: Some('"'), span: ident.span };
            return Ok(());
        }
        let span = idents(name).and_then(|idents| idents.last().map(|ident| ident.span));
        let found = find(self.catalog, name, self.seen.origin)?;
        let ident = |value: &str| {
            let mut ident = Ident::with_quote('"', value);
            ident.span = span.unwrap_or(ident.span);
            ObjectNamePart::Identifier(ident)
        };
        // Qualifiers in expressions use the bare name, so tables keep it alone.
        name.0 = if found.schema == DRUID && name.0.len() == 1 {
            vec![ident(&found.name)]
        } else {
            vec![ident(found.schema), ident(&found.name)]
        };
        Ok(())
    }

    fn expr(&self, expr: &mut Expr) -> Result<(), SqlError> {
        match expr {
            Expr::Identifier(ident) => Self::spell(ident, &self.seen.columns),
            Expr::CompoundIdentifier(idents) => {
                let Some((last, before)) = idents.split_last_mut() else { return Ok(()) };
                for qualifier in before {
                    Self::spell(qualifier, &self.seen.qualifiers)?;
                }
                Self::spell(last, &self.seen.columns)
            }
            _ => Ok(()),
        }
    }

    /// A name that no column has: what it leads to in the column of its first part, or in `_rest`.
    fn within(&self, expr: &Expr) -> Option<Expr> {
        let idents = match expr {
            Expr::Identifier(ident) => std::slice::from_ref(ident),
            Expr::CompoundIdentifier(idents) => idents.as_slice(),
            _ => return None,
        };
        let (first, after) = idents.split_first()?;
        let (qualifier, named) = match self.seen.qualifiers.contains(&first.value) {
            true if !after.is_empty() => (Some(first), after),
            _ => (None, idents),
        };
        let name: Vec<&str> = named.iter().map(|ident| ident.value.as_str()).collect();
        let name = name.join(".");
        // What looks like an expression is a column of a sub-query that has no other name.
        if self.seen.columns.contains(&name) || name.contains('(') || name.starts_with("EXPR$") {
            return None;
        }
        let keys: Vec<&str> = name.split('.').collect();
        // The longest beginning that is a column.
        let split = (1..keys.len()).rev().find_map(|count| {
            let (start, rest) = keys.split_at_checked(count)?;
            let start = start.join(".");
            self.seen.columns.contains(&start).then_some((start, rest))
        });
        let (column, keys) = split.unwrap_or_else(|| (REST.to_owned(), keys.as_slice()));
        if keys.iter().any(|key| key.is_empty() || key.contains('"')) {
            return None;
        }
        let path: String = keys.iter().map(|key| format!(".\"{key}\"")).collect();
        let column = Ident::with_quote('"', column);
        let column = match qualifier {
            Some(qualifier) => Expr::CompoundIdentifier(vec![qualifier.clone(), column]),
            None => Expr::Identifier(column),
        };
        Some(self.places.typed(&name, column, &format!("${path}")))
    }

    /// Text from within JSON where a number is needed.
    fn as_number(expr: &mut Expr) {
        if let Expr::Function(function) = &*expr
            && function.name.to_string() == JSON_VALUE
        {
            let double = DataType::Double(ExactNumberInfo::None);
            *expr = dialect::cast(expr.clone(), double);
        }
    }

    fn numbers(expr: &mut Expr) {
        match expr {
            Expr::BinaryOp { left, op, right } if is_arithmetic(op) => {
                Self::as_number(left);
                Self::as_number(right);
            }
            Expr::Function(function) => {
                let name = function.name.to_string().to_ascii_lowercase();
                if NUMERIC.contains(&name.as_str())
                    && let FunctionArguments::List(list) = &mut function.args
                    && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(first))) =
                        list.args.first_mut()
                {
                    Self::as_number(first);
                }
            }
            _ => {}
        }
    }
}

/// Functions of numbers, to which text from within JSON is brought.
const NUMERIC: &[&str] = &[
    "sum",
    "avg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "var_pop",
    "var_samp",
    "variance",
    "abs",
    "floor",
    "ceil",
    "round",
    "approx_quantile",
    "approx_quantile_ds",
];

fn is_arithmetic(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Divide, Minus, Modulo, Multiply, Plus};
    matches!(op, Plus | Minus | Multiply | Divide | Modulo)
}

fn flow(result: Result<(), SqlError>) -> ControlFlow<SqlError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

impl VisitorMut for Rewrite<'_> {
    type Break = SqlError;

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<SqlError> {
        flow(self.relation(relation))
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        flow(self.expr(expr))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if self.rest {
            if let Some(within) = self.places.whole(expr).or_else(|| self.within(expr)) {
                *expr = within;
            }
            Self::numbers(expr);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let text = |item: &SelectItem| match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(ident.value.clone()),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(idents)) => {
                idents.last().map(|ident| ident.value.clone())
            }
            _ => None,
        };
        self.texts.push(select.projection.iter().map(text).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        let texts = self.texts.pop().unwrap_or_default();
        for (item, text) in select.projection.iter_mut().zip(texts) {
            if let (SelectItem::UnnamedExpr(expr), Some(text)) = (&mut *item, text)
                && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
            {
                let alias = Ident::with_quote('"', text);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }
}

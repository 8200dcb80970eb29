//! The query's text before it is planned: names find their case, `*` leaves the system columns
//! out, and Spark's shorthands become plain calls.
//!
//! Only names nobody quoted are touched, and only where exactly one known name fits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, ObjectNamePart, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, TableFactor, Value, VisitMut, VisitorMut,
    WildcardAdditionalOptions,
};

/// The columns that `*` stands for, by topic and lookup.
pub(super) type Relations = BTreeMap<String, Vec<String>>;

/// Rewrites the query in place. `known` are the names of columns and struct fields.
pub(super) fn resolve(query: &mut Query, relations: &Relations, known: BTreeSet<String>) {
    let mut collect = Collect::default();
    let _ = query.visit(&mut collect);
    let fields = Names::new(known.iter().cloned());
    let mut columns = Names::new(known.into_iter().chain(collect.aliases));
    // A table expression of the query hides the topic of its name.
    let visible = relations.keys().filter(|name| !collect.tables.contains(*name)).cloned();
    let tables = Names::new(visible.chain(collect.tables.iter().cloned()));
    columns.add(tables.all.iter().cloned());
    let mut rewrite =
        Rewrite { relations, hidden: collect.tables, fields, columns, tables, scopes: Vec::new() };
    let _ = query.visit(&mut rewrite);
}

/// The names of tables a query reads, as written.
pub(super) fn tables(query: &mut Query) -> Vec<String> {
    let mut collect = Collect::default();
    let _ = query.visit(&mut collect);
    let Collect { tables, relations, .. } = collect;
    relations.into_iter().filter(|name| !tables.contains(name)).collect()
}

/// Finds the one name that differs only in case.
struct Names {
    all: BTreeSet<String>,
    /// Lower case → the one spelling; `None` where there are several.
    folded: HashMap<String, Option<String>>,
}

impl Names {
    fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut all = Self { all: BTreeSet::new(), folded: HashMap::new() };
        all.add(names);
        all
    }

    fn add(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            if self.all.insert(name.clone()) {
                self.folded
                    .entry(name.to_lowercase())
                    .and_modify(|spelling| *spelling = None)
                    .or_insert(Some(name));
            }
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.all.contains(name) || self.folded.contains_key(&name.to_lowercase())
    }

    fn fix(&self, ident: &mut Ident) {
        if ident.quote_style.is_some() || self.all.contains(&ident.value) {
            return;
        }
        if let Some(Some(name)) = self.folded.get(&ident.value.to_lowercase()) {
            ident.value.clone_from(name);
        }
    }
}

#[derive(Default)]
struct Collect {
    aliases: Vec<String>,
    /// Table expressions: `WITH name AS …`.
    tables: BTreeSet<String>,
    relations: BTreeSet<String>,
}

impl VisitorMut for Collect {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.tables.insert(table.alias.name.value.clone());
            self.aliases.extend(table.alias.columns.iter().map(|column| column.name.value.clone()));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.aliases.push(alias.value.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let Some(alias) = alias_of(factor) {
            self.aliases.push(alias.value.clone());
        }
        if let TableFactor::Table { name, .. } = factor
            && let Some(name) = single(name)
        {
            self.relations.insert(name.value.clone());
        }
        ControlFlow::Continue(())
    }
}

fn alias_of(factor: &TableFactor) -> Option<&Ident> {
    match factor {
        TableFactor::Table { alias, .. } | TableFactor::Derived { alias, .. } => {
            alias.as_ref().map(|alias| &alias.name)
        }
        _ => None,
    }
}

fn single(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [ObjectNamePart::Identifier(ident)] => Some(ident),
        _ => None,
    }
}

struct Rewrite<'a> {
    relations: &'a Relations,
    hidden: BTreeSet<String>,
    /// Of topics and lookups.
    fields: Names,
    /// Those and the names that the query gives.
    columns: Names,
    tables: Names,
    /// Per SELECT around the current place: the names its relations go by, and for topics and
    /// lookups their columns.
    scopes: Vec<Vec<(String, Option<Vec<String>>)>>,
}

impl VisitorMut for Rewrite<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut scope = Vec::new();
        for from in &mut select.from {
            self.scope_of(&mut from.relation, &mut scope);
            for join in &mut from.joins {
                self.scope_of(&mut join.relation, &mut scope);
            }
        }
        let items = std::mem::take(&mut select.projection);
        select.projection = items.into_iter().flat_map(|item| self.item(item, &scope)).collect();
        self.scopes.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, _: &mut Select) -> ControlFlow<()> {
        self.scopes.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, .. } = factor
            && let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice()
        {
            self.tables.fix(ident);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.columns.fix(ident),
            Expr::CompoundIdentifier(idents) => self.path(idents),
            Expr::CompoundFieldAccess { access_chain, .. } => {
                for access in access_chain {
                    if let AccessExpr::Dot(part) = access {
                        let name = match part {
                            Expr::Identifier(ident) => Some(ident.clone()),
                            Expr::Function(function) => bare(function),
                            _ => None,
                        };
                        // The planner takes the name of a computed struct's field as a text.
                        if let Some(mut name) = name {
                            self.fields.fix(&mut name);
                            *part = Expr::Value(Value::SingleQuotedString(name.value).into());
                        }
                    }
                }
            }
            Expr::Function(function) => {
                // `user` and its like parse as functions, but are columns where one is so named.
                match bare(function).filter(|name| self.fields.knows(&name.value)) {
                    Some(mut name) => {
                        self.columns.fix(&mut name);
                        *expr = Expr::Identifier(name);
                    }
                    None => self.function(function),
                }
            }
            Expr::Struct { values, .. } => {
                let args = self.named(std::mem::take(values).into_iter().map(unnamed));
                *expr = call("named_struct", args);
            }
            _ => {}
        }
        if let Some(call) = time_of_cast(expr) {
            *expr = call;
        }
        ControlFlow::Continue(())
    }
}

impl Rewrite<'_> {
    fn scope_of(&self, factor: &mut TableFactor, scope: &mut Vec<(String, Option<Vec<String>>)>) {
        let alias = alias_of(factor).map(|alias| alias.value.clone());
        match factor {
            TableFactor::Table { name, .. } => {
                let [ObjectNamePart::Identifier(ident)] = name.0.as_mut_slice() else { return };
                self.tables.fix(ident);
                let columns = if self.hidden.contains(&ident.value) {
                    None
                } else {
                    self.relations.get(&ident.value).cloned()
                };
                scope.push((alias.unwrap_or_else(|| ident.value.clone()), columns));
            }
            TableFactor::Derived { .. } => scope.extend(alias.map(|alias| (alias, None))),
            _ => {}
        }
    }

    /// `*` and `t.*` become the columns they stand for, without the system columns.
    fn item(&self, item: SelectItem, scope: &[(String, Option<Vec<String>>)]) -> Vec<SelectItem> {
        let plain = |options: &WildcardAdditionalOptions| {
            let WildcardAdditionalOptions {
                opt_ilike,
                opt_exclude,
                opt_except,
                opt_replace,
                opt_rename,
                ..
            } = options;
            opt_ilike.is_none()
                && opt_exclude.is_none()
                && opt_except.is_none()
                && opt_replace.is_none()
                && opt_rename.is_none()
        };
        match item {
            SelectItem::Wildcard(options) if plain(&options) && !scope.is_empty() => {
                scope.iter().flat_map(|(name, columns)| spread(name, columns, &options)).collect()
            }
            SelectItem::QualifiedWildcard(
                SelectItemQualifiedWildcardKind::ObjectName(name),
                options,
            ) if plain(&options) => {
                let asked = single(&name).map(|ident| {
                    let mut ident = ident.clone();
                    self.columns.fix(&mut ident);
                    ident.value
                });
                match scope.iter().find(|(name, _)| Some(name) == asked.as_ref()) {
                    Some((name, columns)) => spread(name, columns, &options),
                    None => vec![SelectItem::QualifiedWildcard(
                        SelectItemQualifiedWildcardKind::ObjectName(name),
                        options,
                    )],
                }
            }
            other => vec![other],
        }
    }

    fn path(&self, idents: &mut [Ident]) {
        let Some((first, rest)) = idents.split_first_mut() else { return };
        self.columns.fix(first);
        // Below a table expression the query's own names count, else those of the input.
        let derived = self
            .scopes
            .iter()
            .flatten()
            .any(|(name, columns)| *name == first.value && columns.is_none());
        let names = if derived { &self.columns } else { &self.fields };
        rest.iter_mut().for_each(|ident| names.fix(ident));
    }

    fn function(&self, function: &mut Function) {
        let is_struct =
            single(&function.name).is_some_and(|name| name.value.eq_ignore_ascii_case("struct"));
        let FunctionArguments::List(list) = &mut function.args else { return };
        if is_struct {
            list.args = self.named(std::mem::take(&mut list.args).into_iter());
            function.name = ObjectName::from(vec![Ident::new("named_struct")]);
        }
    }

    /// Spark's `struct(a, m.b, *)` names its fields; DataFusion's `named_struct` is told them.
    fn named(&self, given: impl Iterator<Item = FunctionArg>) -> Vec<FunctionArg> {
        let mut args = Vec::new();
        for (index, argument) in given.enumerate() {
            let scope = self.scopes.last().into_iter().flatten();
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                | FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Wildcard(_))) => {
                    for (name, columns) in scope {
                        fields(name, columns.iter().flatten(), &mut args);
                    }
                }
                FunctionArg::Unnamed(FunctionArgExpr::QualifiedWildcard(name))
                | FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::QualifiedWildcard(name, _))) => {
                    let asked = single(&name).map(|ident| ident.value.as_str());
                    for (name, columns) in scope.filter(|(name, _)| Some(name.as_str()) == asked) {
                        fields(name, columns.iter().flatten(), &mut args);
                    }
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Named { expr, name })) => {
                    args.push(text(&name.value));
                    args.push(unnamed(*expr));
                }
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => {
                    let name = match &expr {
                        Expr::Identifier(ident) => ident.value.clone(),
                        Expr::CompoundIdentifier(idents) => {
                            idents.last().map(|ident| ident.value.clone()).unwrap_or_default()
                        }
                        _ => format!("col{}", index + 1),
                    };
                    args.push(text(&name));
                    args.push(unnamed(expr));
                }
                FunctionArg::Named { name, arg, .. } => {
                    args.push(text(&name.value));
                    args.push(FunctionArg::Unnamed(arg));
                }
                other @ (FunctionArg::Unnamed(_) | FunctionArg::ExprNamed { .. }) => {
                    args.push(other);
                }
            }
        }
        args
    }
}

/// A name that parsed as a function because it is also a keyword, such as `user`.
fn bare(function: &Function) -> Option<Ident> {
    match function.args {
        FunctionArguments::None => single(&function.name).cloned(),
        _ => None,
    }
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

fn spread(
    relation: &str,
    columns: &Option<Vec<String>>,
    options: &WildcardAdditionalOptions,
) -> Vec<SelectItem> {
    match columns {
        Some(columns) => columns
            .iter()
            .map(|column| {
                let path = vec![quoted(relation), quoted(column)];
                SelectItem::UnnamedExpr(Expr::CompoundIdentifier(path))
            })
            .collect(),
        None => {
            let name = ObjectName::from(vec![quoted(relation)]);
            let kind = SelectItemQualifiedWildcardKind::ObjectName(name);
            vec![SelectItem::QualifiedWildcard(kind, options.clone())]
        }
    }
}

fn fields<'a>(
    relation: &str,
    columns: impl Iterator<Item = &'a String>,
    args: &mut Vec<FunctionArg>,
) {
    for column in columns {
        args.push(text(column));
        args.push(unnamed(Expr::CompoundIdentifier(vec![quoted(relation), quoted(column)])));
    }
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn text(value: &str) -> FunctionArg {
    unnamed(Expr::Value(Value::SingleQuotedString(value.to_owned()).into()))
}

/// `CAST(x AS TIMESTAMP)` and `TIMESTAMP '…'` mean what Spark means: seconds for numbers, the
/// pipeline's zone for text.
fn time_of_cast(expr: &mut Expr) -> Option<Expr> {
    let (name, inner) = match expr {
        Expr::Cast { kind, expr, data_type: DataType::Timestamp(..), .. } => {
            let name = match kind {
                CastKind::Cast | CastKind::DoubleColon => "to_timestamp",
                CastKind::TryCast | CastKind::SafeCast => "try_to_timestamp",
            };
            (name, (**expr).clone())
        }
        Expr::TypedString(typed) if matches!(typed.data_type, DataType::Timestamp(..)) => {
            ("to_timestamp", Expr::Value(typed.value.clone()))
        }
        _ => return None,
    };
    Some(call(name, vec![unnamed(inner)]))
}

fn call(name: &str, args: Vec<FunctionArg>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

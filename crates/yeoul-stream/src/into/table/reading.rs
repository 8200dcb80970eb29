//! What is read out of records and what is made of it: columns, times, transforms, filter and
//! metric inputs, planned once when a table is opened.
//!
//! Invariant: the columns that are appended follow from the spec and the table's own columns, not
//! from the records at hand.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema as ArrowSchema, SchemaRef};
use yeoul_format::{Column, ColumnType, Extract, REST_COLUMN, Schema, TableColumns, parse_place};
use yeoul_sql::functions::stream::time::{EpochUnit, TimeReader};
use yeoul_table::{Granularity, Metric, Rollup, RollupBy, TIME, time_field};

use super::expression::{Computed, Planner, converted, meant};
use super::spec::{FunctionSet, MetricInput, Reads, RollupIngest, SpecProblem, TableIngest};
use super::time::{TimeColumn, TimeFormat};
use super::value::ValueReader;

/// Where a row's time comes from.
#[derive(Debug)]
pub(super) enum TimeFrom {
    /// The record's timestamp.
    Record,
    /// A column that is read, by its place among the extracts.
    Read(usize),
    /// A transform, by its place.
    Made(usize),
}

/// Where an appended column comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum From {
    /// By its place in the rows that are read and made.
    Row(usize),
    Metric(usize),
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) value: ValueReader,
    pub(super) extracts: Vec<Extract>,
    pub(super) strict: bool,
    pub(super) rest: bool,
    pub(super) time_from: TimeFrom,
    pub(super) time: TimeColumn,
    pub(super) reader: TimeReader,
    pub(super) transforms: Vec<Computed>,
    /// What transforms see: `__time`, then what is read.
    pub(super) input: SchemaRef,
    /// What the filter and the metrics see: as `input`, transforms in the place of columns of
    /// their name or behind.
    pub(super) made: SchemaRef,
    /// Of each column of `made`: its place in `input`, or behind it that of a transform.
    pub(super) made_from: Vec<usize>,
    pub(super) filter: Option<Computed>,
    pub(super) metrics: Vec<Computed>,
    /// What the table is appended: `__time` first.
    pub(super) appended: SchemaRef,
    pub(super) appended_from: Vec<From>,
    pub(super) rollup: Option<Rollup>,
    /// Of rows that are not rolled up.
    pub(super) round: (RollupBy, Granularity),
}

impl Reading {
    /// Looks at what can be seen without columns: that expressions, patterns and formats can be
    /// read.
    pub(super) fn parse(spec: &TableIngest) -> Result<(), SpecProblem> {
        ValueReader::new(&spec.value).map_err(SpecProblem::at(&["decode"]))?;
        if let Some(time) = &spec.time {
            time.reader(spec.timezone).map_err(SpecProblem::at(&["time", "format"]))?;
        }
        for transform in &spec.transforms {
            let told = SpecProblem::at(&["transform", &transform.name]);
            spec.names(&transform.sql).map_err(told)?;
        }
        if let Some(sql) = &spec.filter {
            spec.names(sql).map_err(SpecProblem::at(&["where"]))?;
        }
        for metric in spec.rollup.iter().flat_map(|rollup| &rollup.metrics) {
            let told = SpecProblem::at(&["rollup", "metrics", &metric.name]);
            for text in metric.sql.iter().chain(&metric.condition) {
                spec.names(text).map_err(&told)?;
            }
        }
        Ok(())
    }

    /// # Errors
    /// What of the spec cannot work with these columns; for people.
    pub(super) fn plan(spec: &TableIngest, columns: &TableColumns) -> Result<Self, SpecProblem> {
        let planner = Planner::new(spec.functions, spec.timezone);
        let time =
            spec.time.clone().or_else(|| columns.column(TIME).map(|_| TimeColumn::new(TIME)));
        let extracts = Wanted { spec, columns, time: time.as_ref() }.extracts()?;
        let input = input_schema(&extracts, columns.rest);
        let mut transforms = Vec::new();
        for transform in &spec.transforms {
            let sql = spec.sql(&transform.sql, &input);
            let planned = sql.and_then(|sql| planner.plan(&transform.name, &sql, &input));
            let planned = planned.map_err(SpecProblem::at(&["transform", &transform.name]))?;
            transforms.push(match &transform.ty {
                Some(ty) => converted(planned, &ty.arrow()),
                None => planned,
            });
        }
        let (time_from, time) = time_from(spec, time, &extracts, &transforms);
        let reader = time.reader(spec.timezone).map_err(SpecProblem::at(&["time", "format"]))?;
        let (made, made_from) = made_schema(&input, &transforms);
        let filter = match &spec.filter {
            None => None,
            Some(sql) => {
                let sql = spec.condition(sql, &made);
                let condition = sql.and_then(|sql| condition(&planner, &sql, &made));
                Some(condition.map_err(SpecProblem::at(&["where"]))?)
            }
        };
        let mut reading = Self {
            value: ValueReader::new(&spec.value).map_err(SpecProblem::at(&["decode"]))?,
            extracts,
            strict: columns.strict,
            rest: columns.rest,
            time_from,
            time,
            reader,
            transforms,
            input,
            made,
            made_from,
            filter,
            metrics: Vec::new(),
            appended: Arc::new(ArrowSchema::empty()),
            appended_from: Vec::new(),
            rollup: None,
            round: (spec.round, spec.granularity),
        };
        reading.take(spec, columns, &planner)?;
        Ok(reading)
    }

    /// Chooses what is appended.
    fn take(
        &mut self,
        spec: &TableIngest,
        columns: &TableColumns,
        planner: &Planner,
    ) -> Result<(), SpecProblem> {
        let listed: &[&str] =
            if spec.rollup.is_some() { &["rollup", "dimensions"] } else { &["select"] };
        let mut fields: Vec<FieldRef> = vec![Arc::new(time_field())];
        let names: Vec<String> = match (&spec.rollup, &spec.select) {
            (Some(RollupIngest { dimensions: Some(dimensions), .. }), _) => dimensions.clone(),
            (None, Some(select)) => select.clone(),
            (Some(_), _) | (None, None) => {
                let kept = |name: &str| {
                    let made = spec.transforms.iter().any(|transform| transform.name == *name);
                    let read =
                        columns.column(name).is_some() || (name == REST_COLUMN && columns.rest);
                    (made || read) && name != TIME
                };
                let all = self.made.fields().iter().map(|field| field.name().clone());
                all.filter(|name| kept(name)).collect()
            }
        };
        for name in &names {
            let all = self.made.fields().iter().map(|field| field.name().as_str());
            let found = meant(name, all).and_then(|name| self.made.index_of(name).ok());
            let missing = || SpecProblem::at(listed)(no_column(name, &self.made));
            let at = found.ok_or_else(missing)?;
            let field = self.made.field(at).clone().with_name(name).with_nullable(true);
            fields.push(Arc::new(field));
            self.appended_from.push(From::Row(at));
        }
        if let Some(rollup) = &spec.rollup {
            let mut metrics = Vec::new();
            for metric in &rollup.metrics {
                let told = SpecProblem::at(&["rollup", "metrics", &metric.name]);
                if let Some(sql) = self.metric_sql(spec, metric).map_err(&told)? {
                    let computed = planner.plan(&metric.name, &sql, &self.made).map_err(&told)?;
                    let computed = match &metric.ty {
                        Some(ty) => converted(computed, &ty.arrow()),
                        None => computed,
                    };
                    metric
                        .aggregate
                        .state_type(Some(computed.field.data_type()))
                        .map_err(|it| told(it.to_string()))?;
                    fields.push(Arc::clone(&computed.field));
                    self.appended_from.push(From::Metric(self.metrics.len()));
                    self.metrics.push(computed);
                }
                metrics.push(Metric {
                    name: metric.name.clone(),
                    aggregate: metric.aggregate,
                    input: self.metric_sql(spec, metric).map_err(&told)?,
                });
            }
            let dimensions = names;
            self.rollup = Some(Rollup { by: rollup.by, dimensions, metrics });
        }
        self.appended = Arc::new(ArrowSchema::new(fields));
        if let Some(rollup) = &self.rollup {
            rollup.stored(&self.appended).map_err(SpecProblem::at(&["rollup"]))?;
        }
        Ok(())
    }
}

impl Reading {
    /// What goes into a metric; `None`: rows are counted.
    fn metric_sql(
        &self,
        spec: &TableIngest,
        metric: &MetricInput,
    ) -> Result<Option<String>, String> {
        let sql = metric.sql.as_ref().map(|sql| spec.sql(sql, &self.made)).transpose()?;
        let Some(condition) = &metric.condition else { return Ok(sql) };
        let condition = spec.condition(condition, &self.made)?;
        let value = sql.unwrap_or_else(|| "1".to_owned());
        Ok(Some(format!("CASE WHEN {condition} THEN {value} END")))
    }
}

fn no_column(name: &str, schema: &ArrowSchema) -> String {
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let near = names
        .iter()
        .map(|known| (strsim::jaro_winkler(known, name), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match near {
        Some((_, near)) => format!("there is no column `{name}`; did you mean `{near}`?"),
        None => format!("there is no column `{name}`; there are: {}", names.join(", ")),
    }
}

fn condition(planner: &Planner, sql: &str, made: &ArrowSchema) -> Result<Computed, String> {
    let computed = planner.plan("where", sql, made)?;
    match computed.field.data_type() {
        DataType::Boolean => Ok(computed),
        other => Err(format!("a condition is true or false, this gives {other}")),
    }
}

/// `__time`, then what is read, then `_rest`. What is read under `__time` is hidden by it.
fn input_schema(extracts: &[Extract], rest: bool) -> SchemaRef {
    let time = time_field().with_nullable(true);
    let read = extracts.iter().filter(|extract| extract.name != TIME);
    let mut fields = vec![time];
    fields.extend(read.map(|it| Column::new(&*it.name, it.ty.clone()).arrow()));
    if rest {
        fields.push(Column::new(REST_COLUMN, ColumnType::Json).arrow());
    }
    Arc::new(ArrowSchema::new(fields))
}

fn made_schema(input: &SchemaRef, transforms: &[Computed]) -> (SchemaRef, Vec<usize>) {
    let mut fields: Vec<FieldRef> = input.fields().to_vec();
    let mut from: Vec<usize> = (0..fields.len()).collect();
    for (at, transform) in transforms.iter().enumerate() {
        let behind = input.fields().len() + at;
        let name = transform.field.name();
        // The time is put in its place before the filter runs.
        if name == TIME {
            continue;
        }
        match fields.iter().position(|field| field.name() == name) {
            Some(index) => {
                if let (Some(field), Some(from)) = (fields.get_mut(index), from.get_mut(index)) {
                    *field = Arc::clone(&transform.field);
                    *from = behind;
                }
            }
            None => {
                fields.push(Arc::clone(&transform.field));
                from.push(behind);
            }
        }
    }
    (Arc::new(ArrowSchema::new(fields)), from)
}

fn time_from(
    spec: &TableIngest,
    time: Option<TimeColumn>,
    extracts: &[Extract],
    transforms: &[Computed],
) -> (TimeFrom, TimeColumn) {
    let made = |name: &str| transforms.iter().position(|made| made.field.name() == name);
    if let Some(at) = made(TIME) {
        // Druid's transforms give milliseconds.
        let mut column = TimeColumn::new(TIME);
        if spec.functions == FunctionSet::Druid {
            column.format = TimeFormat::Epoch(EpochUnit::Millis);
        }
        return (TimeFrom::Made(at), column);
    }
    let Some(time) = time else { return (TimeFrom::Record, TimeColumn::new(TIME)) };
    if let Some(at) = made(&time.column) {
        return (TimeFrom::Made(at), time);
    }
    match extracts.iter().position(|extract| extract.name == time.column) {
        Some(at) => (TimeFrom::Read(at), time),
        None => (TimeFrom::Record, time),
    }
}

/// What must be read for a spec: the table's columns, and what only expressions ask for.
struct Wanted<'a> {
    spec: &'a TableIngest,
    columns: &'a TableColumns,
    time: Option<&'a TimeColumn>,
}

impl Wanted<'_> {
    fn extracts(&self) -> Result<Vec<Extract>, SpecProblem> {
        let mut extracts = self.columns.extracts();
        let made = |name: &str| self.spec.transforms.iter().any(|made| made.name == name);
        let mut wanted: Vec<(Vec<&str>, String)> = Vec::new();
        let mut hints: HashMap<String, ColumnType> = HashMap::new();
        if let Some(time) = self.time {
            wanted.push((vec!["time", "column"], time.column.clone()));
        }
        for metric in self.spec.rollup.iter().flat_map(|rollup| &rollup.metrics) {
            let fields = vec!["rollup", "metrics", metric.name.as_str()];
            for text in metric.sql.iter().chain(&metric.condition) {
                for name in self.spec.names(text).map_err(SpecProblem::at(&fields))? {
                    if metric.sql.as_ref() == Some(text) {
                        hints.extend(metric.ty.clone().map(|ty| (name.clone(), ty)));
                    }
                    wanted.push((fields.clone(), name));
                }
            }
        }
        if let Some(text) = &self.spec.filter {
            let names = self.spec.names(text).map_err(SpecProblem::at(&["where"]))?;
            wanted.extend(names.into_iter().map(|name| (vec!["where"], name)));
        }
        let dimensions = self.spec.rollup.iter().flat_map(|rollup| &rollup.dimensions).flatten();
        wanted.extend(dimensions.map(|name| (vec!["rollup", "dimensions"], name.clone())));
        wanted.extend(self.spec.select.iter().flatten().map(|name| (vec!["select"], name.clone())));
        wanted.retain(|(_, name)| !made(name));
        // Transforms see what is read, also under their own names.
        for transform in &self.spec.transforms {
            let fields = vec!["transform", transform.name.as_str()];
            let names = self.spec.names(&transform.sql).map_err(SpecProblem::at(&fields))?;
            wanted.extend(names.into_iter().map(|name| (fields.clone(), name)));
        }
        for (fields, name) in wanted {
            self.want(&name, &hints, &mut extracts).map_err(SpecProblem::at(&fields))?;
        }
        Ok(extracts)
    }

    /// Adds a column that is not among the table's own.
    fn want(
        &self,
        name: &str,
        hints: &HashMap<String, ColumnType>,
        extracts: &mut Vec<Extract>,
    ) -> Result<(), String> {
        let known = extracts.iter().map(|extract| extract.name.as_str());
        let special = name == REST_COLUMN && self.columns.rest;
        if special || meant(name, known).is_some() {
            return Ok(());
        }
        // The time itself is there unless the records have one of that name.
        if name == TIME && self.time.is_none_or(|time| time.column != TIME) {
            return Ok(());
        }
        let path = self.columns.paths.iter().find(|(path, _)| path == name);
        if path.is_none() && self.spec.reads.finds_places() {
            let schema = input_schema(&self.columns.extracts(), self.columns.rest);
            return Err(no_column(name, &schema));
        }
        let ty = path.map(|(_, ty)| ty.clone()).or_else(|| hints.get(name).cloned());
        let ty = ty.unwrap_or(ColumnType::String);
        let place = parse_place(name);
        extracts.push(match place {
            Ok(place) if self.spec.reads.finds_places() => Extract::at(name, ty, place),
            _ => Extract::member(name, ty),
        });
        Ok(())
    }
}

impl Reads {
    /// Whether a dotted name may mean a place within documents.
    fn finds_places(&self) -> bool {
        matches!(self, Self::Topic { .. })
    }

    /// Of columns made without a look at records only what the spec itself says; `known` tells
    /// the types that the look has found.
    pub(super) fn declared(&self, mut fresh: TableColumns, known: &TableColumns) -> TableColumns {
        match self {
            Self::Topic { declared } => {
                let said = |name: &str| declared.iter().any(|extract| extract.name == name);
                fresh.columns.retain(|column| said(&column.extract.name));
            }
            Self::Exactly(fields) => {
                for column in &mut fresh.columns {
                    let field = fields.iter().find(|field| field.name == column.extract.name);
                    let written = super::spec::dotted(&column.extract.place);
                    let found = known.paths.iter().find(|(path, _)| *path == written);
                    if let (Some((_, ty)), Some(None)) = (found, field.map(|field| &field.ty)) {
                        column.extract.ty = ty.clone();
                    }
                }
            }
            Self::Members { .. } => fresh.columns.clear(),
        }
        fresh.paths.clear();
        (fresh.strict, fresh.rest) = (known.strict, known.rest);
        fresh
    }

    /// The columns of a table of this topic; `samples` are values of its records.
    pub(super) fn columns(
        &self,
        topic: &yeoul_base::TopicInfo,
        schema: &Schema,
        samples: &[bytes::Bytes],
    ) -> TableColumns {
        let wide = || yeoul_format::infer_wide(schema, samples.iter().map(AsRef::as_ref));
        let mut columns = if schema.is_strict() {
            TableColumns::of_schema(topic.id, schema)
        } else {
            TableColumns::of_wide(topic.id, wide())
        };
        match self {
            Self::Topic { declared } => {
                for extract in declared {
                    columns.columns.retain(|column| column.extract.name != extract.name);
                    columns.paths.retain(|(path, _)| *path != extract.name);
                    let (extract, later) = (extract.clone(), false);
                    columns.columns.push(yeoul_format::TableColumn { extract, later });
                }
            }
            Self::Exactly(fields) => {
                let known: HashMap<String, ColumnType> = columns
                    .columns()
                    .map(|column| (column.name, column.ty))
                    .chain(columns.paths.iter().cloned())
                    .collect();
                let found = |field: &super::spec::ReadField| {
                    let written = super::spec::dotted(&field.place);
                    let ty = field.ty.clone().or_else(|| known.get(&written).cloned());
                    let ty = ty.unwrap_or(ColumnType::String);
                    Extract::at(field.name.as_str(), ty, field.place.clone())
                };
                let read = fields.iter().map(found).collect();
                let named = |name: &String| fields.iter().any(|field| field.name == *name);
                let paths = known.into_iter().filter(|(name, _)| !named(name)).collect();
                columns =
                    TableColumns::of_wide(topic.id, yeoul_format::Wide { columns: read, paths });
                columns.paths.sort_by(|(one, _), (other, _)| one.cmp(other));
                columns.paths.truncate(yeoul_format::PATHS_MAX);
                columns.rest = false;
            }
            Self::Members { text, except } => {
                let gone = |name: &str| except.iter().any(|other| other == name);
                // What is no column of the table may still be its time or go into a metric.
                let read = columns.columns().filter(|column| gone(&column.name));
                let read: Vec<_> = read.map(|column| (column.name, column.ty)).collect();
                columns.paths.splice(0..0, read);
                columns.paths.truncate(yeoul_format::PATHS_MAX);
                columns.columns.retain(|it| it.extract.is_member() && !gone(&it.extract.name));
                for column in columns.columns.iter_mut().filter(|_| *text) {
                    if column.extract.name != TIME {
                        column.extract.ty = ColumnType::String;
                    }
                }
                columns.strict = false;
                columns.rest = true;
            }
        }
        columns
    }
}

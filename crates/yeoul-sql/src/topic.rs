//! A topic as an input of a query: its records from the first to the last that was there when
//! the query was planned.
//!
//! Invariant: every record is a row. One that does not fit the topic's schema has nulls in the
//! schema's columns; its bytes are still in `_value`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema as ArrowSchema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::stream;
use yeoul_base::{Isolation, Offset, PartId, Store, StoreError};
use yeoul_format::{RowDecoder, RowOptions, Schema};
use yeoul_log::batch::Record;
use yeoul_log::reader::PartitionReader;

use crate::error::{ErrorKind, SqlError};

/// Read and decoded in one step of a query.
const STEP_BYTES: usize = 1 << 20;

/// What every topic has besides its schema's columns.
const RECORD_COLUMNS: [&str; 6] =
    ["_key", "_value", "_topic", "_partition", "_offset", "_timestamp"];

fn record_field(name: &str) -> Field {
    match name {
        "_partition" => Field::new(name, DataType::Int32, false),
        "_offset" => Field::new(name, DataType::Int64, false),
        "_timestamp" => {
            Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false)
        }
        "_topic" => Field::new(name, DataType::Utf8, false),
        _ => Field::new(name, DataType::Utf8, true),
    }
}

/// One topic up to its end of now.
#[derive(Debug)]
pub(crate) struct TopicProvider {
    store: Arc<dyn Store>,
    topic: Arc<str>,
    values: Schema,
    schema: SchemaRef,
    /// Kafka's number, the store's id, first offset, end.
    parts: Vec<(i32, PartId, Offset, Offset)>,
}

impl TopicProvider {
    pub(crate) fn new(
        store: &Arc<dyn Store>,
        topic: &str,
        values: Option<Schema>,
    ) -> Result<Self, SqlError> {
        let unknown = || SqlError::new(ErrorKind::Invalid, format!("no topic `{topic}`"));
        let info = store.topics().get(topic).cloned().ok_or_else(unknown)?;
        let mut values =
            values.unwrap_or_else(|| Schema::new(Vec::new(), yeoul_format::Origin::Inferred));
        values.columns.retain(|column| !RECORD_COLUMNS.contains(&column.name.as_str()));
        let mut fields: Vec<_> = values.arrow().fields().iter().cloned().collect();
        fields.extend(RECORD_COLUMNS.map(|name| Arc::new(record_field(name))));
        let parts = (0..).zip(info.partitions.iter());
        let parts = parts.filter_map(|(number, part)| {
            let ends = store.ends(*part)?;
            Some((number, *part, ends.start, ends.stable))
        });
        Ok(Self {
            store: Arc::clone(store),
            topic: Arc::clone(&info.name),
            parts: parts.collect(),
            schema: Arc::new(ArrowSchema::new(fields)),
            values,
        })
    }
}

#[async_trait]
impl TableProvider for TopicProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        // Only the columns asked for are decoded.
        let mut values = self.values.clone();
        values.columns.retain(|column| schema.field_with_name(&column.name).is_ok());
        let streams: Vec<Arc<dyn PartitionStream>> = self
            .parts
            .iter()
            .map(|(number, part, start, end)| -> Arc<dyn PartitionStream> {
                Arc::new(PartScan {
                    store: Arc::clone(&self.store),
                    topic: Arc::clone(&self.topic),
                    number: *number,
                    part: *part,
                    start: *start,
                    end: *end,
                    values: values.clone(),
                    schema: Arc::clone(&schema),
                })
            })
            .collect();
        if streams.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        Ok(Arc::new(StreamingTableExec::try_new(schema, streams, None, Vec::new(), false, limit)?))
    }
}

/// One partition, to be read from its start to a fixed end.
#[derive(Debug)]
struct PartScan {
    store: Arc<dyn Store>,
    topic: Arc<str>,
    number: i32,
    part: PartId,
    start: Offset,
    end: Offset,
    values: Schema,
    schema: SchemaRef,
}

impl PartitionStream for PartScan {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reader = PartitionReader::new(
            Arc::clone(&self.store),
            self.part,
            self.start,
            Isolation::Committed,
        );
        let steps = Steps {
            reader,
            end: self.end,
            rows: RowDecoder::new(&self.values, RowOptions::default()),
            topic: Arc::clone(&self.topic),
            number: self.number,
            schema: Arc::clone(&self.schema),
        };
        let batches = stream::unfold(steps, |mut steps| async move {
            // Lets a cancelled or timed-out query end between two steps.
            tokio::task::yield_now().await;
            steps.next().transpose().map(|batch| (batch, steps))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

struct Steps {
    reader: PartitionReader,
    end: Offset,
    rows: RowDecoder,
    topic: Arc<str>,
    number: i32,
    schema: SchemaRef,
}

impl Steps {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        while self.reader.position() < self.end {
            let before = self.reader.position();
            let mut records = match self.reader.next(STEP_BYTES) {
                Ok(records) => records,
                // Retention moved the start: go on with what is left.
                Err(StoreError::OffsetOutOfRange { asked, start, .. }) if asked < start => {
                    self.reader.seek(start);
                    continue;
                }
                Err(StoreError::BadBatch(_)) if self.reader.skip_bad().is_some() => continue,
                Err(error) => return Err(DataFusionError::External(error.into())),
            };
            records.retain(|record| record.offset < self.end);
            if !records.is_empty() {
                return self.batch(&records).map(Some);
            }
            if self.reader.position() == before {
                break;
            }
        }
        Ok(None)
    }

    fn batch(&mut self, records: &[Record]) -> Result<RecordBatch> {
        for record in records {
            if self.rows.push(record.value.as_deref()).is_err() {
                self.rows
                    .push(Some(b"{}"))
                    .map_err(|error| DataFusionError::External(error.into()))?;
            }
        }
        let values = self.rows.finish()?;
        let columns = self
            .schema
            .fields()
            .iter()
            .map(|field| match values.column_by_name(field.name()) {
                Some(column) => Arc::clone(column),
                None => self.record_column(field.name(), records),
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(records.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    fn record_column(&self, name: &str, records: &[Record]) -> ArrayRef {
        let text =
            |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let count = records.len();
        match name {
            "_partition" => Arc::new(Int32Array::from(vec![self.number; count])),
            "_offset" => {
                Arc::new(Int64Array::from_iter_values(records.iter().map(|record| record.offset)))
            }
            "_timestamp" => Arc::new(
                TimestampMillisecondArray::from_iter_values(
                    records.iter().map(|record| record.timestamp_ms),
                )
                .with_timezone("UTC"),
            ),
            "_topic" => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
                self.topic.as_ref(),
                count,
            ))),
            "_key" => Arc::new(StringArray::from_iter(
                records.iter().map(|record| text(record.key.as_deref())),
            )),
            _ => Arc::new(StringArray::from_iter(
                records.iter().map(|record| text(record.value.as_deref())),
            )),
        }
    }
}

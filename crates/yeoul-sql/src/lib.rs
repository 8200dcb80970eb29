//! SQL over topics and tables, on DataFusion.

pub mod functions;

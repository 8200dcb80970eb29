//! Where rows go besides topics.

pub mod table;

//! The HTTP port as a browser and a script see it, in front of a node made up in `fake`.

mod fake;
mod http;
mod live;

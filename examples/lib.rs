//! The examples are the files beside this one: `cargo run -p kappadb-examples --example map_by_box`.

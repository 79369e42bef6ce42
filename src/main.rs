//! commonwork
fn main() {}

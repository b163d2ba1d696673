//! The program `kappa`.

fn main() {}

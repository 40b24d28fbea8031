//! arete runs one test over many machines. This is the library behind the program of that name.

pub mod controller;
pub mod machine;
pub mod session;
pub mod slave;
pub mod testfile;
pub mod variables;
pub mod wire;

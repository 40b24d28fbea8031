//! The slave as its controller and its commands see it. The tests play both.

mod control;
mod end;
mod faults;
mod leave;
mod members;
mod readiness;
mod reconnect;
mod running;
mod service;
mod shipping;
mod tails;
mod world;

//! Background work of a running origin ([`schedule`]), and the check of a Cell's data that its
//! operator starts ([`check`]).

pub mod check;
pub mod progress;
pub mod read_times;
pub(crate) mod schedule;
pub mod sweep;

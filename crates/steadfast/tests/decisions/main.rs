//! What the stack of the README decides, on paused time: how long it calls a service that has
//! fallen silent, and what else its defaults do. docs/choosing-numbers.md shows these figures.

#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic")]

mod hurried;
mod load;
mod recovery;
mod silence;
mod stack;
mod step;

mod upstream;

//! What a link does, seen from its far ends: which bytes crossed it, in which order, and how its
//! connections ended.

mod black_hole;
mod bounds;
mod cut;
mod delay;
mod ending;
mod half_open;
mod limit;
mod network;
mod reset;
mod rig;
mod stream;

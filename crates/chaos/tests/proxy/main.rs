//! What a link does, seen from its far ends: which bytes crossed it, in which order, and how its
//! connections ended.

mod black_hole;
mod cut;
mod ending;
mod network;
mod rig;
mod stream;

//! The rules against models that know nothing but the definition, and every known trap.

mod analysis;
mod decide;
mod rules;
mod traps;

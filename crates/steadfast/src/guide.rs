//! The guide: how to compose the layers, which numbers to give them, and what to watch.
//!
//! The same pages stand in the repository's directory `docs`, and each of their examples is
//! compiled and run. This module is in the documentation only: a program does not compile it.
//!
//! Begin with [`recipes`] and [`composition`]; the others are there when a question is.

/// A module for each page. Before the page stand the links that differ here from those at its end:
/// of two definitions of a link the first one holds.
macro_rules! pages {
    ($($page:ident: $file:literal,)*) => {$(
        #[doc = include_str!("../guide/links.md")]
        #[doc = include_str!("../guide/pictures.md")]
        #[doc = include_str!(concat!("../guide/", $file))]
        pub mod $page {}
    )*};
}

pages! {
    choosing_numbers: "choosing-numbers.md",
    clocks: "clocks.md",
    composition: "composition.md",
    defaults: "defaults.md",
    errors: "errors.md",
    failure_detection: "failure-detection.md",
    fault_injection: "fault-injection.md",
    idempotency: "idempotency.md",
    it_does_not_compile: "it-does-not-compile.md",
    leases: "leases.md",
    moving: "moving.md",
    observability: "observability.md",
    performance: "performance.md",
    quorums: "quorums.md",
    recipes: "recipes.md",
}

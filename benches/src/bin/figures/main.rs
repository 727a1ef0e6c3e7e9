//! Draws the figures of docs/, from simulations that read no clock:
//! `cargo run -p steadfast-benches --features figures --bin figures`.
//!
//! Each is the same on every machine. A test compares what is drawn with what is committed.

mod hlc;
mod layers;
mod phi;
mod quorum;

use std::{error::Error, fs, path::PathBuf};

/// The file of each figure, and what draws it.
const FIGURES: [(&str, Draw); 8] = [
    ("request.svg", layers::request),
    ("circuit.svg", layers::minute),
    ("limit.svg", layers::limit_after_a_step),
    ("hlc.svg", hlc::draw),
    ("quorum.svg", quorum::draw),
    ("phi-curves.svg", phi::curves),
    ("phi-tradeoff.svg", phi::tradeoff),
    ("phi-calibrated.svg", phi::calibrated),
];

type Draw = fn() -> Result<String, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    for (name, draw) in FIGURES {
        let path = docs().join(name);
        fs::write(&path, draw()?)?;
        println!("{}", path.display());
    }
    Ok(())
}

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_figures_are_those_that_are_drawn() {
        for (name, draw) in FIGURES {
            let committed = fs::read_to_string(docs().join(name)).unwrap();
            assert!(
                draw().unwrap() == committed,
                "docs/{name} is out of date: run the binary `figures`"
            );
        }
    }
}

//! The cases of a README: dependencies, and the program that they are for.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Lines for `Cargo.toml` and a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Case {
    /// A name for its crate, from the heading it stands under.
    pub(super) name: String,
    dependencies: String,
    pub(super) program: String,
}

impl Case {
    pub(super) fn manifest(&self) -> String {
        format!(
            "[package]\nname = {:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [lints.rust]\nwarnings = \"deny\"\n\n[dependencies]\n{}",
            self.name, self.dependencies
        )
    }
}

/// All cases, in order: each block of dependencies with the block of Rust after it.
pub(super) fn cases(readme: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut open: Option<(String, String)> = None;
    for block in blocks(readme) {
        match block.language.as_str() {
            "toml" => {
                if let Some((name, _)) = open.replace((block.heading, block.text)) {
                    return Err(format!("the dependencies under {name:?} have no program"));
                }
            }
            "rust" => {
                let Some((heading, dependencies)) = open.take() else {
                    let heading = block.heading;
                    return Err(format!("the program under {heading:?} has no dependencies"));
                };
                if !block.text.contains("assert") || !block.text.contains("fn main()") {
                    return Err(format!("the program under {heading:?} asserts nothing"));
                }
                let name = crate_name(&heading, cases.len());
                cases.push(Case { name, dependencies, program: block.text });
            }
            _ => {}
        }
    }
    match open {
        Some((heading, _)) => Err(format!("the dependencies under {heading:?} have no program")),
        None if cases.is_empty() => Err("there is no case".to_owned()),
        None => Ok(cases),
    }
}

/// What the page of the registry says and the README does not, and the features that the table of
/// neither names.
pub(super) fn disagreements(readme: &str, facade: &str, features: &[String]) -> Vec<String> {
    let ours: Vec<Block> = blocks(readme);
    let other =
        blocks(facade).into_iter().filter(|block| ours.iter().all(|o| o.text != block.text));
    let other = other.map(|block| format!("only on the registry's page:\n{}", block.text));
    let rows = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect()
    };
    let known = rows(readme);
    let row = rows(facade).into_iter().filter(|row| !known.contains(row));
    let row = row.map(|row| format!("only on the registry's page: {row}"));
    let is_named = |feature: &&String| {
        rows(facade).iter().any(|row| {
            let names = row.split('|').nth(1).unwrap_or_default();
            names.split(", ").any(|name| name.trim() == format!("`{feature}`"))
        })
    };
    let unnamed = features.iter().filter(|feature| *feature != "default");
    let unnamed = unnamed.filter(|feature| !is_named(feature));
    let unnamed = unnamed.map(|feature| format!("no row of the table names the feature {feature}"));
    other.chain(row).chain(unnamed).collect()
}

/// The lines that the README's difference adds, and those that it takes away.
pub(super) fn changed_lines(readme: &str) -> (Vec<String>, Vec<String>) {
    let blocks = blocks(readme).into_iter().filter(|block| block.language == "diff");
    let text: String = blocks.map(|block| block.text).collect();
    let of = |sign: char| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix(sign)).map(str::to_owned).collect()
    };
    (of('+'), of('-'))
}

struct Block {
    heading: String,
    language: String,
    text: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut heading, mut is_heading) = (Vec::<Block>::new(), String::new(), false);
    let mut is_code = false;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => (heading, is_heading) = (String::new(), true),
            Event::End(TagEnd::Heading(_)) => is_heading = false,
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                is_code = true;
                let (heading, language) = (heading.clone(), info.into_string());
                blocks.push(Block { heading, language, text: String::new() });
            }
            Event::End(TagEnd::CodeBlock) => is_code = false,
            Event::Text(words) | Event::Code(words) if is_heading => heading.push_str(&words),
            Event::Text(code) if is_code => {
                if let Some(block) = blocks.last_mut() {
                    block.text.push_str(&code);
                }
            }
            _ => {}
        }
    }
    blocks
}

/// `case-2-an-axum-server`: a number, so that two under one heading are two.
fn crate_name(heading: &str, number: usize) -> String {
    let words = heading.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    format!("case-{}-{}", number + 1, words.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "```toml\nsteadfast = \"0.1\"\n```\n";
    const RUST: &str = "```rust\nfn main() { assert!(true); }\n```\n";

    #[test]
    fn a_case_is_dependencies_and_the_program_after_them() {
        let text = format!("# A\n\n{TOML}\nwords\n\n{RUST}\n## An `axum` server\n\n{TOML}\n{RUST}");
        let cases = cases(&text).unwrap();
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["case-1-a", "case-2-an-axum-server"]);
        assert_eq!(cases[1].program, "fn main() { assert!(true); }\n");
        assert!(cases[1].manifest().ends_with("[dependencies]\nsteadfast = \"0.1\"\n"));
    }

    #[test]
    fn half_a_case_is_found() {
        let fault = |text: String| cases(&text).unwrap_err();
        assert_eq!(fault(String::new()), "there is no case");
        let no_program = "the dependencies under \"A\" have no program";
        assert_eq!(fault(format!("# A\n\n{TOML}")), no_program);
        assert_eq!(fault(format!("# A\n\n{TOML}\n## B\n\n{TOML}\n{RUST}")), no_program);
        let no_lines = "the program under \"A\" has no dependencies";
        assert_eq!(fault(format!("# A\n\n{RUST}")), no_lines);
        let idle = fault(format!("# A\n\n{TOML}\n```rust\nfn main() {{}}\n```\n"));
        assert_eq!(idle, "the program under \"A\" asserts nothing");
    }

    #[test]
    fn a_difference_is_what_it_adds_and_what_it_takes_away() {
        let text = "```diff\n-use a;\n+use b;\n …\n+    c();\n```\n```sh\n+d\n```\n";
        let (added, removed) = changed_lines(text);
        assert_eq!(
            (added.join("|").as_str(), removed.join("|").as_str()),
            ("use b;|    c();", "use a;")
        );
    }

    #[test]
    fn the_page_of_the_registry_says_nothing_that_the_readme_does_not() {
        let table = "| feature | |\n|---|---|\n| `retry`, `tonic` | again |\n";
        let features = ["default", "retry", "tonic"].map(str::to_owned);
        let readme = format!("# A\n\n{TOML}\n{RUST}\n{table}");
        assert_eq!(disagreements(&readme, &format!("{table}\n{TOML}"), &features), [""; 0]);
        let other = table.replace("again", "once more");
        assert_eq!(disagreements(&readme, &other, &features).len(), 1);
        assert_eq!(disagreements(table, &format!("{table}\n{TOML}"), &features).len(), 1);
        let more = ["retry", "tonic", "tls"].map(str::to_owned);
        let fault = "no row of the table names the feature tls";
        assert_eq!(disagreements(&readme, table, &more), [fault]);
    }
}

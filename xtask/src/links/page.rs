//! One page of Markdown: its links and its headings.

use std::{cell::RefCell, collections::BTreeSet};

use pulldown_cmark::{BrokenLink, CodeBlockKind, Event, LinkType, Options, Parser, Tag, TagEnd};

/// A link or a picture.
pub(super) struct Link {
    pub(super) line: usize,
    pub(super) destination: String,
    /// The name of its definition, where it has one.
    pub(super) label: Option<String>,
}

impl Link {
    /// Whether it leads out of the repository.
    pub(super) fn is_absolute(&self) -> bool {
        self.destination.contains("://") || self.destination.starts_with("mailto:")
    }
}

/// What is checked of a page.
pub(super) struct Page {
    pub(super) links: Vec<Link>,
    /// What follows `#` in a link to one of its headings.
    pub(super) anchors: BTreeSet<String>,
    /// `[text][label]` without a definition: the line and the label.
    pub(super) broken: Vec<(usize, String)>,
    /// Examples that are not shown as they are compiled: the line and what is wrong.
    pub(super) examples: Vec<(usize, &'static str)>,
    /// The definitions: label and destination.
    pub(super) definitions: Vec<(String, String)>,
}

impl Page {
    pub(super) fn parse(text: &str) -> Self {
        let broken = RefCell::new(Vec::new());
        let keep = |link: BrokenLink<'_>| {
            // `[text]` alone may be anything: an array, a range. With code in it, it was meant for
            // rustdoc, which is not the only one that shows this page.
            let is_alone = matches!(link.link_type, LinkType::Shortcut | LinkType::ShortcutUnknown);
            if !is_alone || link.reference.starts_with('`') {
                broken.borrow_mut().push((line(text, link.span.start), link.reference.to_string()));
            }
            None
        };
        let parser =
            Parser::new_with_broken_link_callback(text, Options::ENABLE_TABLES, Some(keep));
        let definitions = parser.reference_definitions().iter();
        let definitions =
            definitions.map(|(label, definition)| (same(label), definition.dest.to_string()));
        let definitions = definitions.collect();

        let (mut links, mut anchors, mut heading) = (Vec::new(), BTreeSet::new(), None);
        let (mut examples, mut language) = (Vec::new(), None);
        for (event, range) in parser.into_offset_iter() {
            match event {
                Event::Start(
                    Tag::Link { link_type, dest_url, id, .. }
                    | Tag::Image { link_type, dest_url, id, .. },
                ) => links.push(Link {
                    line: line(text, range.start),
                    destination: dest_url.into_string(),
                    label: (link_type != LinkType::Inline).then(|| same(&id)),
                }),
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    insert(&mut anchors, &heading.take().unwrap_or_default());
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let info =
                        if let CodeBlockKind::Fenced(info) = kind { info } else { "".into() };
                    if info.is_empty() {
                        examples.push((line(text, range.start), "a block names no language"));
                    }
                    language = Some(info);
                }
                Event::End(TagEnd::CodeBlock) => language = None,
                Event::Text(code) if language.is_some() => {
                    let is_rust = language.as_ref().is_some_and(|info| info.starts_with("rust"));
                    if is_rust && code.lines().any(is_hidden) {
                        examples.push((line(text, range.start), "an example has hidden lines"));
                    }
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                _ => {}
            }
        }
        Self { links, anchors, broken: broken.into_inner(), examples, definitions }
    }
}

/// A line that rustdoc compiles and does not show, and all others show and cannot explain.
fn is_hidden(line: &str) -> bool {
    let line = line.trim();
    line == "#" || line.starts_with("# ")
}

fn line(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Labels that differ in case are one.
fn same(label: &str) -> String {
    label.to_lowercase()
}

/// The anchor of a heading; the second of the same words has a number.
fn insert(anchors: &mut BTreeSet<String>, heading: &str) {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    let anchor = kept.collect::<String>().to_lowercase().replace(' ', "-");
    let number = (1..).find(|number| !anchors.contains(&format!("{anchor}-{number}")));
    if anchors.contains(&anchor) {
        anchors.extend(number.map(|number| format!("{anchor}-{number}")));
    } else {
        anchors.insert(anchor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_without_a_definition_is_broken_and_brackets_alone_are_not() {
        let page = Page::parse("One [a][b],\ntwo [c][], three [d], `x[e][f]`.\n[`G`]\n");
        let broken = [(1, "b".to_owned()), (2, "c".to_owned()), (3, "`G`".to_owned())];
        assert_eq!(page.broken, broken);
    }

    #[test]
    fn an_example_that_is_not_shown_as_it_is_compiled_is_found() {
        let of = |text: &str| Page::parse(text).examples;
        assert_eq!(of("a\n\n```\nlet a = 1;\n```\n"), [(3, "a block names no language")]);
        for hidden in ["# use std::io;", "  # Ok(())", "#"] {
            let text = format!("```rust,no_run\nlet a = 1;\n{hidden}\n```\n");
            assert_eq!(of(&text), [(2, "an example has hidden lines")], "{hidden}");
        }
        assert_eq!(of("```rust\n#[test]\nfn f() {}\n```\n```toml\n# a comment\n```\n"), []);
    }

    #[test]
    fn anchors_are_those_that_pages_of_the_repository_have() {
        let page =
            Page::parse("# `BoxError`: nothing to write\n\n## Stores\n\n## Stores\n\n## ETag/If\n");
        let anchors: Vec<&str> = page.anchors.iter().map(String::as_str).collect();
        assert_eq!(anchors, ["boxerror-nothing-to-write", "etagif", "stores", "stores-1"]);
    }
}

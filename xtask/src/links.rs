//! Links in Markdown: that each leads somewhere, wherever its page is read; and that an example is
//! shown as it is compiled.
//!
//! A page of the guide is read in the repository and as a module of the documentation; the README
//! of a crate on the registry too, where nothing of the repository stands beside it.

mod guide;
mod page;

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use self::page::{Link, Page};
use crate::{Failure, workspace::Workspace};

pub(crate) use self::guide::write_pictures;

/// Fewer than there are. A search that finds less looks in the wrong place.
const AT_LEAST: usize = 20;

/// Finds every link within the repository that leads nowhere, and every example that hides lines,
/// and names the file and the line.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let pages = read(workspace)?;
    if pages.len() < AT_LEAST {
        return Err(format!("{} Markdown files are too few", pages.len()).into());
    }
    let mut found = Vec::new();
    let alone = workspace.readmes();
    for (path, page) in &pages {
        let stands_alone = alone.iter().any(|readme| readme == &workspace.root().join(path));
        let broken = page.broken.iter().map(|(line, label)| (*line, undefined(label)));
        let links = page.links.iter().filter_map(|link| {
            let fault = fault(workspace.root(), path, link, &pages, stands_alone)?;
            Some((link.line, fault))
        });
        let examples = page.examples.iter().map(|(line, fault)| (*line, (*fault).to_owned()));
        let all = broken.chain(links).chain(examples);
        found.extend(all.map(|(line, fault)| format!("{}:{line}: {fault}", path.display())));
    }
    found.extend(guide::check(workspace.root(), &pages)?);
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("{} faults:\n{}", found.len(), found.join("\n")).into())
}

/// The pages of the repository by their paths from its root.
type Pages = BTreeMap<PathBuf, Page>;

fn read(workspace: &Workspace) -> Result<Pages, Failure> {
    let mut paths = Vec::new();
    collect(workspace.root(), workspace.target(), &mut paths)?;
    let mut pages = Pages::new();
    for path in paths {
        let page = Page::parse(&fs::read_to_string(&path)?);
        pages.insert(path.strip_prefix(workspace.root())?.to_owned(), page);
    }
    Ok(pages)
}

/// The Markdown files in a directory and below it, but for what is built, what is hidden, and what
/// only points to another.
fn collect(directory: &Path, target: &Path, paths: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if kind.is_dir() && path != target && !is_hidden {
            collect(&path, target, paths)?;
        } else if kind.is_file() && path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    Ok(())
}

fn undefined(label: &str) -> String {
    format!("[{label}] is not defined")
}

/// What is wrong with a link of the page at `path`.
fn fault(root: &Path, path: &Path, link: &Link, pages: &Pages, alone: bool) -> Option<String> {
    if link.is_absolute() {
        return None;
    }
    let destination = &link.destination;
    let (file, anchor) = destination.split_once('#').unwrap_or((destination, ""));
    if alone && !file.is_empty() {
        return Some(format!("{destination} is not there where the registry shows this page"));
    }
    let to = if file.is_empty() { path.to_owned() } else { beside(path, file) };
    if !root.join(&to).exists() || to.starts_with("..") {
        return Some(format!("there is no {}", to.display()));
    }
    // A directory shows its README.
    let shown = if root.join(&to).is_dir() { to.join("README.md") } else { to.clone() };
    let has_anchor = || pages.get(&shown).is_some_and(|page| page.anchors.contains(anchor));
    if !anchor.is_empty() && !has_anchor() {
        return Some(format!("{} has no heading #{anchor}", shown.display()));
    }
    None
}

/// The path from the root that a link of the page at `path` means.
fn beside(path: &Path, file: &str) -> PathBuf {
    let mut to = path.parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(file).components() {
        match component {
            Component::ParentDir if to.pop() => {}
            Component::CurDir => {}
            other => to.push(other),
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found of one page, beside another with a heading.
    fn faults(text: &str, alone: bool) -> Vec<String> {
        let other = Page::parse("# Other\n\n## Ends & means\n");
        let page = Page::parse(text);
        let path = Path::new("docs/composition.md");
        let pages = Pages::from([
            (PathBuf::from("docs/errors.md"), other),
            (path.to_owned(), Page::parse(text)),
        ]);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the root");
        page.links.iter().filter_map(|link| fault(root, path, link, &pages, alone)).collect()
    }

    #[test]
    fn a_link_to_a_file_or_a_heading_that_is_not_there_is_found() {
        assert_eq!(faults("[a](no.md)", false), ["there is no docs/no.md"]);
        assert_eq!(faults("[a](errors.md#no)", false), ["docs/errors.md has no heading #no"]);
        assert_eq!(faults("# A\n\n[a](#b)", false), ["docs/composition.md has no heading #b"]);
        assert_eq!(faults("[a](../../etc/passwd)", false), ["there is no ../etc/passwd"]);
        assert_eq!(faults("| a |\n|---|\n| [a](no.md) |\n", false).len(), 1, "in a table");
        assert_eq!(faults("![a][b]\n\n[b]: no.svg\n", false), ["there is no docs/no.svg"]);
    }

    #[test]
    fn what_is_there_is_no_finding() {
        for fine in [
            "[a](errors.md#ends--means)",
            "[a][b]\n\n[b]: errors.md\n",
            "# A heading, `code`\n\n[a](#a-heading-code)",
            "[a](../crates/breaker)",
            "[a](../README.md)",
            "[a](https://example.com/no.md)",
            "`[a](no.md)` and\n\n```rust\n[a](no.md)\n```\n",
        ] {
            assert_eq!(faults(fine, false), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn the_readme_of_a_crate_stands_alone() {
        assert_eq!(faults("[a](../README.md)", true).len(), 1);
        assert_eq!(faults("# A\n\n[a](#a) [b](https://docs.rs/steadfast)", true).len(), 0);
    }
}

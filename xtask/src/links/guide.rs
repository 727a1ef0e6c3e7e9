//! The guide, read by two doors: `docs/` and `steadfast::guide`.
//!
//! A page ends with the definitions of its links as they are in the repository. The module puts
//! others before the page, in `links.md` and, with the pictures, in `pictures.md`; the first
//! definition of a link wins.

use std::{fs, path::Path};

use super::{
    Pages,
    page::{Link, Page},
};
use crate::{Failure, workspace::Workspace};

const DOCS: &str = "docs";
const GUIDE: &str = "crates/steadfast/guide";
const LINKS: &str = "crates/steadfast/guide/links.md";
const PICTURES: &str = "crates/steadfast/guide/pictures.md";
const MODULE: &str = "crates/steadfast/src/guide.rs";

/// What both doors do not have in common.
pub(super) fn check(root: &Path, pages: &Pages) -> Result<Vec<String>, Failure> {
    let links = pages.get(Path::new(LINKS)).ok_or_else(|| format!("there is no {LINKS}"))?;
    let module = fs::read_to_string(root.join(MODULE))?;
    let mut found = Vec::new();
    let drawn = pictures(root)?;
    if fs::read_to_string(root.join(PICTURES)).unwrap_or_default() != drawn {
        found.push(format!("{PICTURES} is not what `cargo xtask pictures` writes"));
    }
    // Where a reader comes in: the README, and that of the facade, which links to the modules.
    let doors = ["README.md", "crates/steadfast/README.md"].map(|path| pages.get(Path::new(path)));
    let leads = |door: Option<&Page>, to: &str| {
        door.is_some_and(|door| door.links.iter().any(|link| link.destination.contains(to)))
    };
    for (path, page) in pages.iter().filter(|(path, _)| path.starts_with(DOCS)) {
        let name = path.strip_prefix(DOCS)?.to_string_lossy().into_owned();
        let other_door = root.join(GUIDE).join(&name);
        if fs::canonicalize(other_door).ok() != fs::canonicalize(root.join(path)).ok() {
            found.push(format!("{GUIDE}/{name} is not a link to {}", path.display()));
        }
        if !module.contains(&format!("{}: \"{name}\"", module_of(&name))) {
            found.push(format!("{MODULE} has no page {name}"));
        }
        let module = format!("steadfast/guide/{}/", module_of(&name));
        if !leads(doors[0], &format!("{DOCS}/{name}")) || !leads(doors[1], &module) {
            found.push(format!("{name} is not linked in README.md and in that of the facade"));
        }
        let faults = page.links.iter().filter_map(|link| Some((link.line, fault(link, links)?)));
        found.extend(faults.map(|(line, fault)| format!("{}:{line}: {fault}", path.display())));
    }
    Ok(found)
}

/// What is wrong with a link where the page is a module.
fn fault(link: &Link, links: &Page) -> Option<String> {
    let destination = &link.destination;
    if link.is_absolute() || destination.starts_with('#') {
        return None;
    }
    let Some(label) = &link.label else {
        return Some(format!("write {destination} as a definition at the end of the page"));
    };
    if has_extension(destination, "svg") {
        let fault = format!("[{label}] is not the name of the picture {destination}");
        return (label != destination).then_some(fault);
    }
    let (file, anchor) = destination.split_once('#').unwrap_or((destination, ""));
    let defined = links.definitions.iter().find(|(other, _)| other == label);
    let expected = if has_extension(file, "md") && !file.contains('/') {
        let hash = if anchor.is_empty() { "" } else { "#" };
        format!("crate::guide::{}{hash}{anchor}", module_of(file))
    } else {
        // Not a page: whatever the documentation has in its place.
        defined.map(|(_, there)| there.clone()).unwrap_or_default()
    };
    match defined {
        Some((_, there)) if *there == expected => None,
        _ => Some(format!("{LINKS} lacks [{label}]: {expected}")),
    }
}

fn has_extension(file: &str, extension: &str) -> bool {
    Path::new(file).extension().is_some_and(|found| found == extension)
}

/// The module of a page.
fn module_of(file: &str) -> String {
    file.trim_end_matches(".md").replace('-', "_")
}

/// Writes the pictures of the guide anew, as definitions of links.
pub(crate) fn write_pictures(workspace: &Workspace) -> Result<(), Failure> {
    Ok(fs::write(workspace.root().join(PICTURES), pictures(workspace.root())?)?)
}

/// All pictures of the guide as definitions of links. Nothing stands beside a module that it could
/// point to, so each is a whole picture.
fn pictures(root: &Path) -> Result<String, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join(DOCS))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(has_extension(&name, "svg").then_some(name));
    }
    names.sort();
    let mut all = String::new();
    for name in names {
        let picture = fs::read_to_string(root.join(DOCS).join(&name))?;
        all.push_str(&format!("[{name}]: <data:image/svg+xml,{}>\n", escaped(&picture)));
    }
    Ok(all)
}

/// Without what ends the definition, or means something to an address or to Markdown.
fn escaped(picture: &str) -> String {
    let mut escaped = String::with_capacity(picture.len() * 5 / 4);
    for c in picture.chars() {
        match c {
            '%' | '<' | '>' | '#' | '&' | '\\' | '\n' | '\r' => {
                escaped.push_str(&format!("%{:02X}", u32::from(c)));
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let links = Page::parse(
            "[errors]: crate::guide::errors\n[sealed]: crate::guide::errors#seals\n\
             [chaos]: https://docs.rs/steadfast-chaos\n",
        );
        Page::parse(text).links.iter().filter_map(|link| fault(link, &links)).collect()
    }

    #[test]
    fn a_link_that_the_module_would_not_know_is_found() {
        let lacks = |what: &str| vec![format!("{LINKS} lacks {what}")];
        assert_eq!(
            faults("[a][quorums]\n\n[quorums]: quorums.md\n"),
            lacks("[quorums]: crate::guide::quorums")
        );
        assert_eq!(
            faults("[a][errors]\n\n[errors]: errors.md#seals\n"),
            lacks("[errors]: crate::guide::errors#seals")
        );
        assert_eq!(faults("[a][lab]\n\n[lab]: ../examples/lab\n"), lacks("[lab]: "));
        assert_eq!(faults("[a](errors.md)").len(), 1, "what is inline cannot be told apart");
        assert_eq!(faults("![a](hlc.svg)").len(), 1);
        assert_eq!(faults("![a][b]\n\n[b]: hlc.svg\n").len(), 1);
    }

    #[test]
    fn what_both_doors_know_is_no_finding() {
        for fine in [
            "[errors] and [a][sealed]\n\n[errors]: errors.md\n[sealed]: errors.md#seals\n",
            "[a][chaos]\n\n[chaos]: ../crates/chaos\n",
            "![a][hlc.svg]\n\n[hlc.svg]: hlc.svg\n",
            "[a](#stores) [b](https://docs.rs)",
        ] {
            assert_eq!(faults(fine), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn a_picture_comes_out_of_its_definition_as_it_went_in() {
        let picture = "<svg a=\"#1\">\n <text>a &lt; 5 % \\ φ (b)</text>\n</svg>\n";
        let page = Page::parse(&format!("![a][p]\n\n[p]: <data:,{}>\n", escaped(picture)));
        let mut out = page.links[0].destination.clone();
        for (code, c) in [
            ("%3C", "<"),
            ("%3E", ">"),
            ("%23", "#"),
            ("%26", "&"),
            ("%5C", "\\"),
            ("%0A", "\n"),
            ("%25", "%"),
        ] {
            out = out.replace(code, c);
        }
        assert_eq!(out, format!("data:,{picture}"));
    }
}

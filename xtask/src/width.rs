//! Comment lines that are too wide. rustfmt breaks code, and leaves comments as they are.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Failure, workspace::Workspace};

/// As wide as code may be.
const MOST: usize = 100;

/// Finds all comment lines of the workspace that are wider, and names the file and the line of
/// each.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut files = Vec::new();
    for directory in workspace.directories() {
        collect(&directory, workspace.target(), &mut files)?;
    }
    // A search that does not even find this file looks in the wrong place.
    if !files.iter().any(|file| file.ends_with(file!())) {
        return Err(format!("{} is not among the {} files searched", file!(), files.len()).into());
    }
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        found.extend(
            wide(&text)
                .into_iter()
                .map(|(line, width)| format!("{}:{line}: {width}", file.display())),
        );
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} comment lines are wider than {MOST} characters:\n{}",
        found.len(),
        found.join("\n")
    )
    .into())
}

/// The Rust files in a directory and below it, but for what is built.
fn collect(directory: &Path, target: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            if path != target {
                collect(&path, target, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The numbers of the lines that are too wide, and their widths.
fn wide(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut in_drawing = false;
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = comment(line) else {
            in_drawing = false;
            continue;
        };
        if let Some(language) = comment.strip_prefix("```") {
            // The end of a block names no language.
            in_drawing = language == "text";
        }
        let width = line.chars().count();
        if width > MOST && !in_drawing && can_be_broken(comment) {
            found.push((index + 1, width));
        }
    }
    found
}

/// What a comment line says; none for a line of code, even if a comment follows it.
fn comment(line: &str) -> Option<&str> {
    let comment = line.trim_start().strip_prefix("//")?;
    Some(comment.trim_start_matches(['/', '!']).trim())
}

/// Not so a row of a table, the address of a link, and what has no blank in it.
fn can_be_broken(comment: &str) -> bool {
    let is_row = comment.starts_with('|');
    let is_address = comment.starts_with('[') && comment.contains("]: ");
    !is_row && !is_address && comment.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<usize> {
        wide(text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn one_comment_line_that_is_too_wide_is_found_by_its_number() {
        let words = "word ".repeat(20);
        for slashes in ["//", "///", "//!", "    //"] {
            let text = format!("fn f() {{}}\n{slashes} {words}word\n{slashes} short\n");
            assert_eq!(numbers(&text), [2], "{slashes}");
        }
        let (fits, wider) = (format!("// {}", "é ".repeat(48)), format!("// {}", "é ".repeat(49)));
        assert_eq!(wide(&format!("{fits}é\n{wider}é")), [(2, 102)], "characters, not bytes");
    }

    #[test]
    fn what_cannot_be_broken_may_be_wider() {
        let long = "x".repeat(100);
        for comment in [
            format!("/// | {long} | {long} |"),
            format!("/// https://example.com/{long}"),
            format!("/// [name]: https://example.com/{long} \"title\""),
            format!("/// ```text\n/// {long} --> {long}\n/// ```"),
            format!("let code = 1; // {long} {long}"),
        ] {
            assert_eq!(numbers(&comment), [0_usize; 0], "{comment}");
        }
    }

    #[test]
    fn a_drawing_ends_with_its_block() {
        let long = "x ".repeat(60);
        assert_eq!(numbers(&format!("/// ```text\n/// {long}\n/// ```\n/// {long}")), [4]);
        assert_eq!(numbers(&format!("/// ```text\nfn f() {{}}\n/// {long}")), [3]);
        assert_eq!(numbers(&format!("/// ```\n/// {long}\n/// ```")), [2], "an example is code");
    }
}

//! What to look at in the mounted demo: a mailbox drawn as a tree, and a message to get back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Entries of a kind that are drawn in one directory, before the rest is counted.
const DRAWN: usize = 3;

/// Draws a directory, its name first.
pub(super) fn tree(dir: &Path) -> io::Result<String> {
    let mut drawing = format!("{}\n", dir.display());
    draw(dir, "", &mut drawing)?;
    Ok(drawing)
}

fn draw(dir: &Path, indent: &str, drawing: &mut String) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push((name, entry.file_type()?.is_dir()));
    }
    entries.sort();
    let is_message = |name: &str| name.ends_with(".eml");
    let messages = entries.iter().filter(|(name, _)| is_message(name)).count();
    let mut lines = Vec::new();
    let mut drawn = 0;
    for (name, is_dir) in entries {
        if is_message(&name) {
            drawn += 1;
            if drawn == DRAWN + 1 {
                lines.push((format!("… {} more", messages - DRAWN), false));
            }
            if drawn > DRAWN {
                continue;
            }
        }
        lines.push((name, is_dir));
    }
    let last = lines.len().saturating_sub(1);
    for (n, (name, is_dir)) in lines.into_iter().enumerate() {
        let (branch, below) = if n == last {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        let slash = if is_dir { "/" } else { "" };
        drawing.push_str(&format!("{indent}{branch}{name}{slash}\n"));
        if is_dir {
            draw(&dir.join(&name), &format!("{indent}{below}"), drawing)?;
        }
    }
    Ok(())
}

/// The file in a directory whose name contains a text.
pub(super) fn find(dir: &Path, text: &str) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().contains(text) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// How a shell calls this program: by its path, unless that is where a shell looks for it.
pub(super) fn program() -> String {
    let Ok(program) = std::env::current_exe() else {
        return "mailtm".into();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let first = std::env::split_paths(&path)
        .map(|dir| dir.join("mailtm"))
        .find(|found| found.is_file());
    match first.and_then(|found| found.canonicalize().ok()) {
        Some(found) if found == program => "mailtm".into(),
        _ => quoted(&program),
    }
}

/// A path as one word of a shell's command line.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // Inside double quotes these have a meaning, "!" in an interactive shell only.
    if text.contains(['"', '\\', '$', '`', '!']) {
        format!("'{}'", text.replace('\'', r"'\''"))
    } else {
        format!("\"{text}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    #[test]
    fn a_tree_is_drawn_and_cut() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("INBOX/empty")).unwrap();
        for n in 1..=5 {
            fs::write(at(&format!("INBOX/{n}.eml")), "").unwrap();
        }
        fs::write(at("INBOX.mbox"), "").unwrap();
        let drawn = tree(dir.path()).unwrap();
        let lines: Vec<&str> = drawn.lines().skip(1).collect();
        let expected = [
            "├── INBOX/",
            "│   ├── 1.eml",
            "│   ├── 2.eml",
            "│   ├── 3.eml",
            "│   ├── … 2 more",
            "│   └── empty/",
            "└── INBOX.mbox",
        ];
        assert_eq!(lines, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        /// A shell sees the path again.
        #[test]
        fn quoting(text in "[ -~à日\n]{1,20}") {
            let line = format!("printf %s {}", quoted(Path::new(&text)));
            let output = Command::new("sh").arg("-c").arg(line).output().unwrap();
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        }
    }
}

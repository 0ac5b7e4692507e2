//! The house rules: the table of floors in `src/lib.rs` and what keeps the code readable.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 600;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All Rust files below `src/`, relative to it, with their text.
fn files() -> Vec<(PathBuf, String)> {
    let (mut found, mut todo) = (Vec::new(), vec![source()]);
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(source()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 10);
    found
}

/// Module → (floor, row of the table). Modules of one row belong together and may use each other.
fn floors() -> BTreeMap<String, (u32, usize)> {
    let text = fs::read_to_string(source().join("lib.rs")).unwrap();
    let mut floors = BTreeMap::new();
    for (row, line) in text.lines().enumerate() {
        let Some(cells) = line.strip_prefix("//! | ") else {
            continue;
        };
        let mut cells = cells.split('|').map(str::trim);
        let (Some(floor), Some(modules)) = (cells.next(), cells.next()) else {
            continue;
        };
        let Ok(floor) = floor.parse() else { continue };
        for module in modules.split(',') {
            let name = module.trim().trim_matches('`').to_owned();
            assert!(
                floors.insert(name, (floor, row)).is_none(),
                "twice in the table: {module}"
            );
        }
    }
    assert!(floors.len() > 10, "no table of floors in src/lib.rs");
    floors
}

/// The top-level module that a file belongs to; none for `lib.rs` and `main.rs`.
fn module_of(path: &Path) -> Option<String> {
    let first = path
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(module, "lib" | "main")).then(|| module.to_owned())
}

/// A file's code, without its comments.
fn code(text: &str) -> String {
    let lines = text.lines().map(|l| {
        if l.trim_start().starts_with("//") {
            ""
        } else {
            l
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names after each `crate::`: `a` of `crate::a::B`, `a` and `c` of `crate::{a::b, c::{d, e}}`.
fn used(code: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(list) = rest.strip_prefix('{') else {
            found.push(name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    found.push(name(&list[start..at]));
                    start = at + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    found.retain(|n| !n.is_empty());
    found
}

#[test]
fn used_finds_every_form() {
    let code = "use crate::a::B; use crate::{b, c::{D, e::F}, g::h}; crate::i(); pub(crate) use x; use crate::{\n    j::K,\n};";
    assert_eq!(used(code), ["a", "b", "c", "g", "i", "j"]);
}

#[test]
fn imports_go_down_only() {
    let floors = floors();
    let mut wrong = Vec::new();
    for (path, text) in files() {
        let Some(module) = module_of(&path) else {
            continue;
        };
        let Some(&(floor, row)) = floors.get(&module) else {
            wrong.push(format!(
                "{}: {module} is not in the table of floors",
                path.display()
            ));
            continue;
        };
        for name in used(&code(&text)) {
            // What the crate's root gives out again.
            let target = if matches!(name.as_str(), "Error" | "Kind" | "Result") {
                "error"
            } else {
                &name
            };
            match floors.get(target) {
                _ if target == module => {}
                Some(&(below, other)) if below < floor || other == row => {}
                Some((above, _)) => wrong.push(format!(
                    "{}: {module} (floor {floor}) uses {target} (floor {above})",
                    path.display()
                )),
                None => wrong.push(format!(
                    "{}: crate::{name} is no module of the table",
                    path.display()
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_of_the_table_exist() {
    for module in floors().keys() {
        let directory = source().join(module).join("mod.rs");
        let file = source().join(format!("{module}.rs"));
        assert!(
            directory.exists() || file.exists(),
            "{module} is in the table only"
        );
    }
}

/// Whether `word` stands in the code as a path of its own.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let before = code[..at].chars().next_back().is_some_and(part);
        let after = code[at + word.len()..].starts_with("::");
        !before && after
    })
}

#[test]
fn each_rule_has_its_one_place() {
    for (path, text) in files() {
        let code = code(&text);
        let module = module_of(&path).unwrap_or_default();
        if module != "fuse" {
            assert!(
                !names(&code, "fuser"),
                "{}: fuser is named in src/fuse* only",
                path.display()
            );
        }
        if !matches!(module.as_str(), "cli" | "config" | "mount" | "") {
            assert!(
                !names(&code, "clap"),
                "{}: clap is for the commands",
                path.display()
            );
        }
        assert!(!code.contains("unsafe {"), "{}", path.display());
    }
}

#[test]
fn files_are_short_and_well_named() {
    for (path, text) in files() {
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST_FILE,
            "{}: {lines} lines; split it",
            path.display()
        );
        for part in path.components() {
            let part = part.as_os_str().to_str().unwrap();
            let name = part.strip_suffix(".rs").unwrap_or(part);
            assert!(
                ![
                    "utils", "util", "common", "helpers", "helper", "manager", "misc"
                ]
                .contains(&name),
                "{}: say what it is for",
                path.display()
            );
        }
        if path != Path::new("main.rs") {
            assert!(
                text.starts_with("//! "),
                "{}: no module documentation",
                path.display()
            );
        }
    }
}

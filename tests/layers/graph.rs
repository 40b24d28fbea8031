//! The import graph of the sources: the modules with the modules that they name, and the types with the modules of
//! their methods.
//!
//! A module is the path of its file without `.rs`: `wire/frame` for `src/wire/frame.rs`. The graph is read from the
//! text, without macros and without `mod` lines. A name counts everywhere: in a `use`, and as a path in the code.

use std::collections::{BTreeMap, BTreeSet};

/// The modules, each with those that it imports from.
pub struct Graph {
    arrows: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Reads the graph of `sources`: pairs of a path below `src` and of the code in it, without comments and strings.
    pub fn of<'a>(sources: impl Iterator<Item = (&'a str, &'a str)>) -> Graph {
        let texts: BTreeMap<String, &str> =
            sources.filter(|(path, _)| !is_test(path)).map(|(path, text)| (module(path), text)).collect();
        let known: BTreeSet<&str> = texts.keys().map(String::as_str).collect();
        let arrows = texts.iter().map(|(name, text)| (name.clone(), imports(name, text, &known))).collect();
        Graph { arrows }
    }

    /// Returns the circles: sets of modules of which each reaches every other, largest first.
    pub fn circles(&self) -> Vec<Vec<&str>> {
        let names = self.arrows.keys().map(String::as_str);
        let reached: BTreeMap<&str, BTreeSet<&str>> = names.map(|name| (name, self.reached_from(name))).collect();
        let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
        for (&name, reaches) in &reached {
            if reaches.contains(name) {
                circles.insert(reaches.iter().copied().filter(|other| reached[other].contains(name)).collect());
            }
        }
        let mut circles: Vec<_> = circles.into_iter().collect();
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }

    /// Returns the modules that can be reached from a module through one import or more.
    fn reached_from<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            let next = self.arrows.get(name).into_iter().flatten();
            open.extend(next.map(String::as_str).filter(|next| reached.insert(*next)));
        }
        reached
    }
}

/// Returns the inherent `impl` blocks of types that are defined in another module, and not in one above: pairs of a
/// module and a type. Types that are defined nowhere in `sources` are left out.
pub fn foreign_impls<'a>(sources: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeSet<(String, String)> {
    let texts: Vec<(String, &str)> =
        sources.filter(|(path, _)| !is_test(path)).map(|(path, text)| (module(path), text)).collect();
    let mut homes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, text) in &texts {
        for (_, defined) in text.lines().filter_map(defined) {
            homes.entry(defined).or_default().push(name);
        }
    }
    // The type that a folder is named after may have methods in the whole folder: `run/run.rs` in `run`.
    let folder = |home: &str| match home.rsplit_once('/') {
        Some((above, last)) if above.rsplit('/').next() == Some(last) => above.to_owned(),
        _ => home.to_owned(),
    };
    let at_home = |name: &str, home: &&str| name == *home || name.starts_with(&format!("{}/", folder(home)));
    let impls = texts.iter().flat_map(|(name, text)| text.lines().filter_map(inherent).map(move |on| (name, on)));
    impls
        .filter(|(name, on)| homes.get(on).is_some_and(|homes| !homes.iter().any(|home| at_home(name, home))))
        .map(|(name, on)| (name.clone(), on.to_owned()))
        .collect()
}

/// `wire/frame` for `wire/frame.rs`.
fn module(path: &str) -> String {
    path.strip_suffix(".rs").unwrap_or(path).to_owned()
}

/// Returns whether a file holds unit tests, which may name anything.
fn is_test(path: &str) -> bool {
    path.split(['/', '.']).any(|part| part == "tests")
}

/// The type that a line defines, and the keyword of the definition.
fn defined(line: &str) -> Option<(&str, &str)> {
    let line = visible(line.trim_start());
    ["struct", "enum", "union", "trait", "type"].into_iter().find_map(|word| {
        let name = first_word(line.strip_prefix(word)?.strip_prefix(' ')?);
        (!name.is_empty()).then_some((word, name))
    })
}

/// A line without `pub` or `pub(...)`.
fn visible(line: &str) -> &str {
    match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ").map_or(line, |(_, rest)| rest),
        Some(rest) => rest.strip_prefix(' ').unwrap_or(line),
        None => line,
    }
}

/// The type to which a line gives methods, unless it implements a trait.
fn inherent(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = if rest.starts_with('<') { &rest[closing(rest)? + 1..] } else { rest };
    let rest = rest.strip_prefix(' ')?;
    let path = &rest[..rest.find(['<', ' ', '{']).unwrap_or(rest.len())];
    let behind = &rest[path.len()..];
    let behind = if behind.starts_with('<') { &behind[closing(behind)? + 1..] } else { behind };
    (!behind.starts_with(" for ")).then(|| path.rsplit("::").next().unwrap_or(path))
}

/// The place where the bracket at the beginning of a text closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    text.char_indices().find_map(|(at, letter)| {
        match letter {
            '<' => depth += 1,
            '>' if !text[..at].ends_with('-') => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    })
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len())]
}

/// The modules that a module names.
fn imports(name: &str, text: &str, known: &BTreeSet<&str>) -> BTreeSet<String> {
    let (uses, code) = split_uses(&without_inner(text));
    let mut paths: Vec<Vec<&str>> = uses.iter().flat_map(|tree| leaves(tree)).collect();
    paths.extend(paths_in(&code));
    let targets = paths.iter().filter_map(|path| resolve(name, path, known));
    targets.filter(|target| target != name).collect()
}

/// The text in which `super` in inline modules, which means this file, is replaced by `self`.
fn without_inner(text: &str) -> String {
    let mut inner = false;
    let line = |line: &str| {
        let begins = visible(line).starts_with("mod ") && line.ends_with('{');
        inner = begins || inner && line != "}";
        match inner {
            true => line.replace("super::super::", "\u{0}").replace("super::", "self::").replace('\u{0}', "super::"),
            false => line.to_owned(),
        }
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The trees of all `use`s, each on one line, and the text without them.
fn split_uses(text: &str) -> (Vec<String>, String) {
    let (mut uses, mut code) = (Vec::new(), String::new());
    let mut tree: Option<String> = None;
    for line in text.lines() {
        let open = tree.take();
        let begun = visible(line.trim_start()).strip_prefix("use ");
        match (open, begun) {
            (Some(mut open), _) => {
                open.push_str(line.trim());
                tree = Some(open);
            }
            (None, Some(begun)) => tree = Some(begun.to_owned()),
            (None, None) => {
                code.push_str(line);
                code.push('\n');
            }
        }
        if let Some(whole) = tree.take_if(|tree| tree.contains(';')) {
            uses.push(whole.split(';').next().unwrap_or_default().to_owned());
        }
    }
    (uses, code)
}

/// The paths in a `use` tree: `a::b` and `a::c::d` for `a::{b, c::d}`.
fn leaves(tree: &str) -> Vec<Vec<&str>> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        return vec![path.split("::").map(str::trim).filter(|part| !part.is_empty()).collect()];
    };
    let head: Vec<&str> = tree[..open].split("::").map(str::trim).filter(|part| !part.is_empty()).collect();
    let body = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let mut depth = 0;
    let members = body.split(|letter| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        depth == 0 && letter == ','
    });
    let members = members.filter(|member| !member.trim().is_empty());
    members.flat_map(leaves).map(|member| head.iter().copied().chain(member).collect()).collect()
}

/// The paths in the code: words with `::` between.
fn paths_in(code: &str) -> Vec<Vec<&str>> {
    let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':');
    words
        .filter(|word| word.contains("::"))
        .map(|word| word.split("::").filter(|part| !part.is_empty()).collect())
        .collect()
}

/// The module that a path names from a module, if it is one of these: the longest prefix of the path that is a module.
fn resolve(from: &str, path: &[&str], known: &BTreeSet<&str>) -> Option<String> {
    let mut at: Vec<&str> = from.split('/').collect();
    let mut rest = path;
    match path.first()? {
        // The library is `crate` for itself, and `arete` for the program.
        &"crate" | &"arete" => {
            at.clear();
            rest = &rest[1..];
        }
        &"self" | &"super" => {
            while let Some(word @ (&"self" | &"super")) = rest.first() {
                if *word == "super" {
                    at.pop();
                }
                rest = &rest[1..];
            }
        }
        child => {
            let child = format!("{from}/{child}");
            if !known.contains(child.as_str()) {
                return None;
            }
        }
    }
    while let Some(next) = rest.first() {
        let next = at.iter().copied().chain([*next]).collect::<Vec<_>>().join("/");
        if !known.contains(next.as_str()) {
            break;
        }
        at.push(rest[0]);
        rest = &rest[1..];
    }
    let at = at.join("/");
    known.contains(at.as_str()).then_some(at)
}

#[test]
fn a_circle_is_found_in_every_form_of_import() {
    let circles = |from: &str, to: &str| {
        let sources = [("a.rs", from), ("a/b.rs", to), ("c.rs", "use crate::a::b::{self, X as Y};")];
        let graph = Graph::of(sources.into_iter());
        graph.circles().iter().map(|circle| circle.join(" ")).collect::<Vec<_>>()
    };
    for from in [
        "use b::X;",
        "pub use self::b::X;",
        "fn f() -> b::X {}",
        "use crate::{\n    a::{b::X},\n};",
        "let x = arete::a::b::f(1);",
    ] {
        assert_eq!(circles(from, "use super::Item;"), ["a a/b"], "{from}");
        assert_eq!(circles(from, "use crate::c::Item;"), ["a/b c"], "{from}");
        assert!(circles(from, "use std::b::{c, d};").is_empty(), "{from}");
    }
    assert!(circles("mod b;", "use super::Item;").is_empty());
    assert!(circles("use b::X;", "pub mod inner {\n    use super::Item;\n}").is_empty());
    assert_eq!(circles("use b::X;", "mod inner {\n    use super::super::Item;\n}"), ["a a/b"]);
}

#[test]
fn an_impl_away_from_home_is_found() {
    let found = |path: &str, line: &str| {
        let sources = [("a.rs", "pub struct A<T> {\n    t: T,\n}"), (path, line)];
        foreign_impls(sources.into_iter()).into_iter().map(|(_, on)| on).collect::<Vec<_>>()
    };
    for line in ["impl A {", "impl<T> A<T> {", "impl<T: Into<X>> crate::a::A<T> {"] {
        assert_eq!(found("c.rs", line), ["A"], "{line}");
        assert!(found("a/b.rs", line).is_empty(), "{line}");
    }
    let sources = [("a/a.rs", "struct A;"), ("a/b.rs", "impl A {"), ("b.rs", "impl A {")];
    assert_eq!(foreign_impls(sources.into_iter()), BTreeSet::from([("b".to_owned(), "A".to_owned())]));
    for line in ["impl fmt::Display for A {", "impl<'a, T> From<T> for A<T> {", "impl Unknown {"] {
        assert!(found("c.rs", line).is_empty(), "{line}");
    }
}

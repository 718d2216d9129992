//! Checks what a compiler does not: the rules of `docs/architecture.md` about folders, sizes, unsafe code and generated
//! pages. Each check is a function from text to complaints, with a test that it does complain.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may import whom. A folder that is not listed may import everything.
const IMPORTS: &[(&str, &[&str])] = &[
    ("aidb", &[]),
    ("base", &[]),
    ("resp", &["base"]),
    ("locks", &["base"]),
    ("value", &["base"]),
    ("config", &["base"]),
    ("observe", &["base"]),
    ("keyspace", &["value", "base"]),
    ("command", &["keyspace", "value", "resp", "base"]),
    (
        "script",
        &["command", "keyspace", "resp", "config", "observe", "base"],
    ),
    (
        "engine",
        &[
            "script", "command", "keyspace", "value", "observe", "config", "locks", "resp", "base",
        ],
    ),
    ("shard", &["engine", "resp", "config", "observe", "base"]),
];
/// Folders that may use the store.
const AIDB_USERS: &[&str] = &["keyspace", "engine", "main"];

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
/// Files and functions above their limit, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// A complaint: where, and what is wrong.
type Complaints = Vec<String>;

/// Comments and text stripped of what they hold, so that words in them are not taken for code. Lines stay lines.
fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => at + source[at..].find('\n').unwrap_or(source.len() - at),
            [b'/', b'*', ..] => {
                at + source[at..]
                    .find("*/")
                    .map_or(source.len() - at, |end| end + 2)
            }
            [b'r', b'"' | b'#', ..]
                if !at
                    .checked_sub(1)
                    .is_some_and(|before| is_word(bytes[before])) =>
            {
                raw_string_end(source, at)
            }
            [b'"', ..] => string_end(bytes, at),
            [b'\'', ..] => char_end(source, at),
            _ => at,
        };
        if end > at {
            code.push_str(&"\n".repeat(source[at..end].matches('\n').count()));
            code.push(' ');
            at = end;
        } else {
            let character = source[at..].chars().next().unwrap_or(' ');
            code.push(character);
            at += character.len_utf8();
        }
    }
    code
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

fn raw_string_end(source: &str, start: usize) -> usize {
    let hashes = source[start + 1..]
        .bytes()
        .take_while(|byte| *byte == b'#')
        .count();
    let open = start + 1 + hashes;
    if source.as_bytes().get(open) != Some(&b'"') {
        return start;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    source[open + 1..]
        .find(&close)
        .map_or(source.len(), |end| open + 1 + end + close.len())
}

/// The end of a character literal, or `start` for a lifetime.
fn char_end(source: &str, start: usize) -> usize {
    let mut inside = source[start + 1..].chars();
    match inside.next() {
        Some('\\') => source[start + 3..]
            .find('\'')
            .map_or(start, |end| start + 3 + end + 1),
        Some(plain) if inside.next() == Some('\'') => start + plain.len_utf8() + 2,
        _ => start,
    }
}

/// Complains of uses of a folder that `folder` may not know.
fn check_imports(folder: &str, source: &str) -> Complaints {
    let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == folder) else {
        return Vec::new();
    };
    let code = code_only(source);
    let mut complaints = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // Inside the aidb crate, `crate::` is aidb itself.
        if folder == "aidb" {
            break;
        }
        for name in imported(&code[at + "crate::".len()..]) {
            if name != folder
                && !allowed.contains(&name)
                && IMPORTS.iter().any(|(known, _)| *known == name)
            {
                complaints.push(format!("{folder} imports {name}"));
            }
        }
    }
    let uses_aidb = code
        .match_indices("aidb::")
        .any(|(at, _)| !code[..at].ends_with(|c: char| is_word(c as u8)));
    if uses_aidb && !AIDB_USERS.contains(&folder) && folder != "aidb" {
        complaints.push(format!("{folder} uses aidb"));
    }
    complaints
}

/// The first segments after `crate::`: one, or those of a group `{a::b, c}`.
fn imported(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![first_word(path)];
    };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => {
                names.push(first_word(&group[start..at]));
                break;
            }
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                names.push(first_word(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    names
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.bytes().take_while(|byte| is_word(*byte)).count()]
}

/// Complains of a file that has grown too long.
fn check_file_length(path: &str, source: &str) -> Complaints {
    let lines = source.lines().count();
    if lines < FILE_LINES_MAX || LONG_FILES.iter().any(|(listed, _)| *listed == path) {
        return Vec::new();
    }
    vec![format!(
        "{path} has {lines} lines, {FILE_LINES_MAX} are too many"
    )]
}

/// Complains of functions that a reader gets lost in.
fn check_function_length(path: &str, source: &str) -> Complaints {
    let code = code_only(source);
    let mut complaints = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let name = first_word(&code[at + 3..]);
        let begins_word = !code[..at].ends_with(|c: char| is_word(c as u8));
        let lines = body_lines(&code[at..]);
        let listed = || {
            LONG_FUNCTIONS
                .iter()
                .any(|(listed, _)| *listed == format!("{path}:{name}"))
        };
        if begins_word && !name.is_empty() && lines >= FUNCTION_LINES_MAX && !listed() {
            complaints.push(format!(
                "{path}: fn {name} has {lines} lines, {FUNCTION_LINES_MAX} are too many"
            ));
        }
    }
    complaints
}

/// Lines from the start of a signature to the end of its body; zero for one without a body.
fn body_lines(code: &str) -> usize {
    let (mut braces, mut brackets) = (0, 0);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'(' | b'[' if braces == 0 => brackets += 1,
            b')' | b']' if braces == 0 => brackets -= 1,
            b';' if braces == 0 && brackets == 0 => return 0,
            b'{' => braces += 1,
            b'}' if braces <= 1 => return code[..=at].lines().count(),
            b'}' => braces -= 1,
            _ => {}
        }
    }
    0
}

/// Complains of a folder whose `mod.rs` does not say what it is for.
fn check_module_head(path: &str, source: &str) -> Complaints {
    // A folder without code has nothing to explain yet.
    let empty = code_only(source).trim().is_empty();
    let head = source
        .lines()
        .take_while(|line| line.starts_with("//!"))
        .count();
    if empty || head >= 3 {
        Vec::new()
    } else {
        vec![format!("{path} does not open with what the folder is for")]
    }
}

/// Complains of unsafe code whose file does not say why, or that has no argument for its safety.
fn check_unsafe(path: &str, source: &str) -> Complaints {
    let code = code_only(source);
    let words = ["unsafe {", "unsafe impl"];
    let lines: Vec<usize> = (0..)
        .zip(code.lines())
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)))
        .map(|(n, _)| n)
        .collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    let mut head = source.lines().take_while(|line| line.starts_with("//!"));
    if !head.any(|line| line.to_ascii_lowercase().contains("unsafe")) {
        complaints.push(format!(
            "{path} has unsafe code and its head does not say why"
        ));
    }
    let source: Vec<&str> = source.lines().collect();
    for line in lines {
        // An argument may stand above a whole statement or an attribute, so look back over the lines of one.
        const REACH: usize = 10;
        let near = &source[line.saturating_sub(REACH)..=line];
        if !near
            .iter()
            .any(|line| line.contains("SAFETY:") || line.contains("# Safety"))
        {
            complaints.push(format!("{path}:{}: unsafe without SAFETY", line + 1));
        }
    }
    complaints
}

/// Complains of what was left for later.
fn check_unfinished(path: &str, source: &str) -> Complaints {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("unimplemented", "!"),
        concat!("todo", "!"),
    ];
    let found = source
        .lines()
        .enumerate()
        .filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    found
        .map(|(index, line)| format!("{path}:{}: {}", index + 1, line.trim()))
        .collect()
}

/// Complains of I/O whose failure would end the process: files and sockets fail in the field.
fn check_io_unwraps(path: &str, source: &str) -> Complaints {
    const IO: [&str; 8] = [
        "fs::",
        "File::",
        ".sync_",
        ".write_all(",
        ".read_exact(",
        "TcpStream::",
        "UnixStream::",
        "Socket::",
    ];
    let shipped = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = code_only(shipped);
    let statements = code.split([';', '{', '}']);
    let bad = statements
        .filter(|text| text.contains(".unwrap()") && IO.iter().any(|call| text.contains(call)));
    bad.map(|text| format!("{path}: {}", text.trim().replace('\n', " ")))
        .collect()
}

/// Complains of a generated page that differs from what would be generated, or writes it when asked to.
fn check_generated(path: &Path, expected: &str) -> Complaints {
    if std::env::var_os("AIKV_BLESS").is_some() {
        fs::write(path, expected).unwrap();
    }
    let present = fs::read_to_string(path).unwrap_or_default();
    if present == expected {
        return Vec::new();
    }
    vec![format!(
        "{} is out of date; AIKV_BLESS=1 cargo test --test tidy writes it",
        path.display()
    )]
}

/// Complains of dependencies for which the README gives no reason.
fn check_dependencies(manifest: &str, readme: &str) -> Complaints {
    let section = |name: &str| {
        manifest
            .split(name)
            .nth(1)
            .and_then(|rest| rest.split("\n[").next())
    };
    let lines = section("[dependencies]\n").into_iter().flat_map(str::lines);
    let names = lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim());
    let reasons: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with('|'))
        .collect();
    let missing =
        names.filter(|name| *name != "aidb" && !reasons.iter().any(|line| has_word(line, name)));
    missing
        .map(|name| format!("README.md gives no reason for {name}"))
        .collect()
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(['|', ',', ' ']).any(|part| part == word)
}

/// Complains of options that nothing reads: they would be accepted without effect.
fn check_options_are_read(sources: &BTreeMap<String, String>) -> Complaints {
    use aikv::config::{Effect, OPTIONS};
    let readers: String = sources
        .iter()
        .filter(|(path, _)| !path.starts_with("src/config/"))
        .map(|(_, text)| code_only(text))
        .collect();
    let typed = [
        "Durability",
        "LuaDialect",
        "ScriptUndeclaredKeys",
        "Loglevel",
        "ClientOutputBufferLimit",
    ];
    let accessor = [
        ".durability()",
        ".dialect()",
        ".undeclared_keys()",
        ".log_level()",
        ".buffer_limit(",
    ];
    let is_read = |id: &str| {
        let through = typed
            .iter()
            .zip(accessor)
            .find(|(name, _)| **name == id)
            .map(|(_, accessor)| accessor);
        through.is_some_and(|accessor| readers.contains(accessor))
            || mentions(&readers, &format!("Opt::{id}"))
    };
    let live = OPTIONS
        .iter()
        .filter(|spec| spec.effect != Effect::Informational);
    live.filter(|spec| !is_read(&format!("{:?}", spec.id)))
        .map(|spec| format!("nothing reads {}", spec.name))
        .collect()
}

fn mentions(code: &str, word: &str) -> bool {
    code.match_indices(word)
        .any(|(at, _)| !code[at + word.len()..].starts_with(|c: char| is_word(c as u8)))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file below a folder of the project, by its path from the root.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let shown = path
                    .strip_prefix(root())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(shown, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// `src/engine/multi.rs` is of `engine`, `src/main.rs` of `main`.
fn folder_of(path: &str) -> &str {
    let inside = path.trim_start_matches("src/");
    inside
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
}

fn is_test(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/") || !path.starts_with("src/")
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn folders_import_only_what_they_may() {
    let all = sources("src");
    let complain = |(path, source): (&String, &String)| {
        check_imports(folder_of(path), source)
            .into_iter()
            .map(|text| format!("{path}: {text}"))
            .collect::<Vec<_>>()
    };
    assert_none(&all.iter().flat_map(complain).collect::<Vec<_>>());
    assert_eq!(
        check_imports("value", "use crate::engine::X;"),
        ["value imports engine"]
    );
    assert_eq!(
        check_imports("resp", "fn f() { crate::shard::go() }"),
        ["resp imports shard"]
    );
    assert_eq!(
        check_imports("locks", "use crate::{base::{a, b}, config, value::V};"),
        ["locks imports config", "locks imports value"]
    );
    assert_eq!(check_imports("shard", "use aidb::DB;"), ["shard uses aidb"]);
    assert_none(&check_imports(
        "engine",
        "use crate::shards_are_fine; // use crate::shard\nuse crate::script::run;",
    ));
}

#[test]
fn files_are_short() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    assert_none(
        &all.flat_map(|(path, source)| check_file_length(&path, &source))
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        check_file_length("a.rs", &"x\n".repeat(FILE_LINES_MAX)).len(),
        1
    );
    assert_none(&check_file_length(
        "a.rs",
        &"x\n".repeat(FILE_LINES_MAX - 1),
    ));
}

#[test]
fn functions_are_short() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    assert_none(
        &all.flat_map(|(path, source)| check_function_length(&path, &source))
            .collect::<Vec<_>>(),
    );
    let long = |lines: usize| {
        format!(
            "fn f(a: [u8; 2]) -> bool {{\n{}}}",
            "x('{', \"}\"); // }\n".repeat(lines)
        )
    };
    assert_eq!(
        check_function_length("a.rs", &long(FUNCTION_LINES_MAX)).len(),
        1
    );
    assert_none(&check_function_length(
        "a.rs",
        &long(FUNCTION_LINES_MAX - 3),
    ));
}

#[test]
fn folders_say_what_they_are_for() {
    let heads = sources("src")
        .into_iter()
        .filter(|(path, _)| path.ends_with("/mod.rs") || path == "src/aidb/src/lib.rs")
        .filter(|(path, _)| !is_test(path));
    assert_none(
        &heads
            .flat_map(|(path, source)| check_module_head(&path, &source))
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        check_module_head("a/mod.rs", "//! The a layer.\nmod b;").len(),
        1
    );
}

#[test]
fn unsafe_code_is_argued_for() {
    let all = sources("src");
    assert_none(
        &all.iter()
            .flat_map(|(path, source)| check_unsafe(path, source))
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        check_unsafe("a.rs", "//! Plain.\nfn f() { unsafe { g() } }").len(),
        2
    );
    assert_eq!(
        check_unsafe("a.rs", "//! unsafe for g.\nfn f() { unsafe { g() } }").len(),
        1
    );
    assert_none(&check_unsafe(
        "a.rs",
        "//! unsafe for g.\n// SAFETY: g is fine.\nunsafe { g() }",
    ));
}

#[test]
fn nothing_is_left_for_later() {
    let all = ["src", "tests", "benches"].into_iter().flat_map(sources);
    assert_none(
        &all.flat_map(|(path, source)| check_unfinished(&path, &source))
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        check_unfinished("a.rs", concat!("// TO", "DO: more")).len(),
        1
    );
    assert_eq!(
        check_unfinished("a.rs", concat!("fn f() { todo", "!() }")).len(),
        1
    );
}

#[test]
fn io_errors_are_handled() {
    let shipped = sources("src")
        .into_iter()
        .filter(|(path, _)| !is_test(path));
    assert_none(
        &shipped
            .flat_map(|(path, source)| check_io_unwraps(&path, &source))
            .collect::<Vec<_>>(),
    );
    assert_eq!(
        check_io_unwraps("a.rs", "let f = File::open(p)\n    .unwrap();").len(),
        1
    );
    assert_none(&check_io_unwraps(
        "a.rs",
        "let n = x.unwrap(); #[cfg(test)] mod t { fn f() { fs::read(p).unwrap(); } }",
    ));
}

#[test]
fn generated_pages_are_up_to_date() {
    let page = root().join("docs/configuration.md");
    assert_none(&check_generated(&page, &aikv::config::docs::markdown()));
    let registry = aikv::engine::registry::Registry::new();
    let runnable = registry
        .specs()
        .iter()
        .copied()
        .filter(|spec| !spec.container);
    let commands = aikv::command::docs::markdown(runnable);
    assert_none(&check_generated(
        &root().join("docs/commands.md"),
        &commands,
    ));
    if std::env::var_os("AIKV_BLESS").is_none() {
        assert_eq!(check_generated(&page, "something else").len(), 1);
    }
}

#[test]
fn dependencies_have_reasons() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    for manifest in ["Cargo.toml", "src/aidb/Cargo.toml"] {
        assert_none(&check_dependencies(&read(manifest), &read("README.md")));
    }
    let manifest =
        "[dependencies]\na = \"1\"\nb = { version = \"2\" }\n\n[dev-dependencies]\nc = \"1\"\n";
    assert_eq!(
        check_dependencies(manifest, "| a, bb | why |"),
        ["README.md gives no reason for b"]
    );
}

/// Holds once the engine is there: options are declared before the parts that read them are built.
#[test]
fn every_option_has_a_reader() {
    let all = sources("src");
    let unread = check_options_are_read(&all);
    let parts_exist = all
        .keys()
        .any(|path| path.starts_with("src/engine/") && path != "src/engine/mod.rs");
    if parts_exist {
        assert_none(&unread);
    }
    let nobody = BTreeMap::from([("src/config/x.rs".to_owned(), "Opt::Port".to_owned())]);
    assert!(check_options_are_read(&nobody).contains(&"nothing reads port".to_owned()));
    let reader = BTreeMap::from([(
        "src/shard/x.rs".to_owned(),
        "settings.number(Opt::Port)".to_owned(),
    )]);
    assert!(!check_options_are_read(&reader).contains(&"nothing reads port".to_owned()));
}

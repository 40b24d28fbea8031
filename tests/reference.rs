//! The manual names what the sources declare, and nothing else: messages and their fields, reports, events, exit
//! codes, and environment variables.

#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All sources of the messages.
fn wire() -> String {
    [
        "src/wire.rs",
        "src/wire/greeting.rs",
        "src/wire/run.rs",
        "src/wire/trigger.rs",
        "src/wire/rendezvous.rs",
        "src/wire/room.rs",
        "src/wire/operate.rs",
        "src/wire/command.rs",
        "src/wire/code.rs",
    ]
    .map(read)
    .concat()
}

/// The fields of a declaration, and whether each may be absent.
type Fields = BTreeMap<String, bool>;

/// The lines between the line `start` and the next line that begins with `end`.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    assert!(text.lines().any(|line| line == start), "no line {start:?}");
    text.lines().skip_while(move |line| *line != start).skip(1).take_while(move |line| !line.starts_with(end))
}

/// The fields in the lines of a struct or a variant, without those that serde skips.
fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Fields {
    let (mut fields, mut attributes) = (Fields::new(), String::new());
    for line in lines.map(str::trim) {
        if line.starts_with("#[") {
            attributes += line;
        } else if let Some((name, _)) =
            line.trim_start_matches("pub ").split_once(": ").filter(|_| !line.starts_with("//"))
        {
            if !attributes.contains("serde(skip)") {
                let optional = attributes.contains("default") || attributes.contains("skip_serializing_if");
                fields.insert(name.to_owned(), optional);
            }
            attributes.clear();
        }
    }
    fields
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// The variants of an enum with their fields, by their names in JSON.
fn variants(source: &str, declaration: &str) -> BTreeMap<String, Fields> {
    let lines: Vec<&str> = between(source, declaration, "}").collect();
    let mut found = BTreeMap::new();
    for (nr, line) in lines.iter().enumerate() {
        let Some(rest) = line.strip_prefix("    ").filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()))
        else {
            continue;
        };
        let name = rest.trim_end_matches([',', '{', ' ']);
        let body = lines[nr + 1..].iter().copied().take_while(|line| *line != "    },");
        let fields = if rest.ends_with('{') { fields(body) } else { Fields::new() };
        found.insert(kebab(name), fields);
    }
    assert!(found.len() > 3, "{declaration} has variants");
    found
}

/// The messages that `declaration` lists, with their fields.
fn messages(source: &str, declaration: &str) -> BTreeMap<String, Fields> {
    let listed =
        between(source, declaration, "    }").filter_map(|line| line.trim().strip_suffix(',')?.split_once(" => "));
    let message = |(kind, name): (&str, &str)| {
        // `Name or path`: a quick reader of the same message.
        let name = name.split(' ').next().unwrap_or(name);
        let body = format!("pub struct {name}<'a> {{");
        (kind.trim_matches('"').to_owned(), fields(between(source, &body, "}")))
    };
    let messages: BTreeMap<_, _> = listed.map(message).collect();
    assert!(!messages.is_empty(), "{declaration} lists messages");
    messages
}

/// The items of the lists in a section of a page, with the items of the lists inside them.
fn items(page: &str, section: &str) -> BTreeMap<String, Fields> {
    let mut found: BTreeMap<String, Fields> = BTreeMap::new();
    let (mut depth, mut last) = (0, String::new());
    for line in between(page, section, if section.starts_with(".Ss") { ".S" } else { ".Sh" }) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            [".Bl", ..] => depth += 1,
            [".El"] => depth -= 1,
            [".It", "Cm", name] if depth == 1 => {
                found.insert(name.to_owned(), Fields::new());
                last = name.to_owned();
            }
            [".It", ref item @ .., name] if depth == 2 => {
                let fields = found.get_mut(&last).unwrap_or_else(|| panic!("{line} is not in an item"));
                fields.insert(name.to_owned(), item.contains(&"Op"));
            }
            _ => {}
        }
    }
    found
}

/// The fields that the text of an item names with `Cm`, after `Op` if they may be absent.
fn fields_in_text<'a>(lines: impl Iterator<Item = &'a str>) -> Fields {
    let mut fields = Fields::new();
    for line in lines.take_while(|line| *line != ".El") {
        let Some(line) = line.strip_prefix('.').filter(|line| line.contains("Cm ")) else { continue };
        let mut optional = false;
        for word in line.split(' ') {
            match word {
                "Op" => optional = true,
                word if word.starts_with(|c: char| c.is_ascii_lowercase()) => {
                    fields.insert(word.to_owned(), optional);
                }
                _ => {}
            }
        }
    }
    fields
}

#[test]
fn the_protocol_page_has_every_message_with_its_fields_and_no_other() {
    let (wire, page) = (wire(), read("man/arete-protocol.7"));
    assert_eq!(items(&page, ".Sh MESSAGES OF THE SLAVE"), messages(&wire, "    ToController {"));
    assert_eq!(items(&page, ".Sh MESSAGES OF THE CONTROLLER"), messages(&wire, "    FromController {"));
    let mut of_socket = messages(&wire, "    ControlRequest {");
    of_socket.extend(messages(&wire, "    ControlReply {"));
    assert_eq!(items(&page, ".Sh CONTROL SOCKET"), of_socket);
}

#[test]
fn the_protocol_page_has_every_report_with_its_fields_and_no_other() {
    let (wire, page) = (read("src/wire/slave_event.rs"), read("man/arete-protocol.7"));
    assert_eq!(items(&page, ".Sh REPORTS"), variants(&wire, "pub enum SlaveEvent<'a> {"));
}

#[test]
fn the_protocol_page_has_every_code_and_no_other() {
    let (source, page) = (read("src/wire/code.rs"), read("man/arete-protocol.7"));
    let described: BTreeSet<_> = items(&page, ".Sh CODES").into_keys().collect();
    assert_eq!(described, variants(&source, "pub enum Code {").into_keys().collect());
}

#[test]
fn the_protocol_page_states_the_bounds_of_the_sources() {
    let page = read("man/arete-protocol.7");
    let bounds = [
        arete::wire::LINE_MAX_BEFORE_HELLO,
        arete::wire::LINE_MAX,
        arete::wire::CHUNK_MAX,
        arete::wire::rendezvous::NOTE_MAX,
        arete::wire::rendezvous::VALUE_MAX,
        arete::wire::rendezvous::SESSION_MAX,
        arete::wire::rendezvous::VALUE_MOST,
        arete::wire::rendezvous::SESSION_MOST,
        arete::wire::LINE_MAX_OF_VALUE,
        arete::wire::LINE_MOST_OF_VALUE,
        arete::link::LINE_FROM_CONTROLLER_MAX,
        arete::controller::Limits::default().memory,
        arete::wire::rendezvous::SYNC_TIMEOUT as usize,
        arete::wire::rendezvous::FRESH as usize,
        arete::testfile::MEMBERS_MAX,
        arete::controller::EVENTS_MAX as usize,
        arete::controller::OUTPUT_MAX as usize,
        arete::controller::RECORD_MAX as usize,
    ];
    for bound in bounds {
        assert!(page.contains(&bound.to_string()), "the page does not say {bound}");
    }
    let times = [arete::session::HELLO_WITHIN, arete::session::SILENT_AFTER, arete::session::LOST_AFTER];
    for time in times {
        assert!(page.contains(&format!("{} s", time.as_secs())), "the page does not say {time:?}");
    }
    assert!(page.contains(&format!("measures {} round trips", arete::session::FIRST_PINGS)));
    assert!(page.contains(&format!("version {} of the protocol", arete::wire::PROTOCOL)));
}

#[test]
fn the_manual_states_the_bounds_of_handshakes() {
    use arete::reactor::{HANDSHAKE_MAX, HANDSHAKE_WITHIN, HANDSHAKES_MAX};
    let (page, security) = (read("man/arete.1"), read("SECURITY.md"));
    let said = format!("A TLS handshake may take {} seconds and {HANDSHAKE_MAX} bytes.", HANDSHAKE_WITHIN.as_secs());
    assert!(page.contains(&said), "man/arete.1 does not contain {said:?}");
    assert!(page.contains(&format!("{HANDSHAKES_MAX} may go on at once")));
    let said = format!(
        "({} s), a byte limit ({} KiB), and at most {HANDSHAKES_MAX}",
        HANDSHAKE_WITHIN.as_secs(),
        HANDSHAKE_MAX >> 10
    );
    assert!(security.contains(&said), "SECURITY.md does not contain {said:?}");
}

#[test]
fn the_manual_has_every_event_with_its_fields_and_no_other() {
    let (source, page) = (read("src/timeline/event.rs"), read("man/arete-results.5"));
    let mut events = variants(&source, "pub enum Event<'a> {");
    events.retain(|name, _| !name.starts_with("reported("));
    events.extend(variants(&read("src/wire/slave_event.rs"), "pub enum SlaveEvent<'a> {"));
    let described: BTreeSet<_> = items(&page, ".Sh EVENTS").into_keys().collect();
    assert_eq!(described, events.keys().cloned().collect());
    for (event, mut declared) in events {
        if declared.remove("meeting").is_some() {
            declared.extend(fields(between(&source, "pub struct Meeting<'a> {", "}")));
        }
        let item = format!(".It Cm {event}");
        assert_eq!(fields_in_text(between(&page, &item, ".It")), declared, "the fields of the event {event}");
    }
}

#[test]
fn the_manual_has_every_exit_status_and_no_other() {
    let (source, page) = (read("src/exit_code.rs"), read("man/arete.1"));
    let declared = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(" = "));
    let declared: BTreeSet<&str> = declared.map(|(_, value)| value.trim_end_matches(';')).collect();
    let described = between(&page, ".Sh EXIT STATUS", ".Sh").filter_map(|line| line.strip_prefix(".It "));
    assert_eq!(described.collect::<BTreeSet<_>>(), declared);
    assert!(declared.contains("130"));
}

#[test]
fn the_manual_has_every_variable_that_a_command_is_given_and_no_other() {
    let (source, page) = (read("src/slave/run/start.rs"), read("man/arete.1"));
    let given: BTreeSet<&str> = source.split('"').filter(|word| word.starts_with("ARETE_")).collect();
    let first = between(&page, ".Sh ENVIRONMENT", ".It Ev PATH");
    let described = first.filter_map(|line| line.strip_prefix(".It Ev ")).filter(|name| name.starts_with("ARETE_"));
    assert_eq!(described.collect::<BTreeSet<_>>(), given);
}

/// Quoted messages in a page are equal to those in the sources.
#[test]
fn the_diagnostics_quote_messages_as_the_sources_write_them() {
    let sources = all_sources(Path::new("src"));
    let mut quoted = 0;
    for page in ["arete-run.1", "arete-barrier.1", "arete-slave.8", "arete-controller.8"] {
        let page = read(&format!("man/{page}"));
        for words in between(&page, ".Sh DIAGNOSTICS", ".Sh").filter_map(|line| line.strip_prefix(".It Li ")) {
            assert!(sources.contains(words), "no source writes {words:?}");
            quoted += 1;
        }
    }
    assert!(quoted > 20, "{quoted}");
}

/// The sources below a directory, in one text.
fn all_sources(directory: &Path) -> String {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).expect("sources can be listed");
    let mut text = String::new();
    for path in entries.map(|entry| entry.expect("a source can be listed").path()) {
        match path.is_dir() {
            true => text += &all_sources(&path),
            false => text += &read(path.to_str().expect("sources have plain names")),
        }
    }
    text
}

/// The rows of the lists in columns of a section.
fn rows(page: &str, section: &str) -> Vec<Vec<String>> {
    let items = between(page, section, ".Sh").filter_map(|line| line.strip_prefix(".It ")?.split_once(" Ta "));
    let cells = items.map(|(first, rest)| std::iter::once(first).chain(rest.split(" Ta ")).map(str::to_owned));
    cells.map(Iterator::collect).collect()
}

#[test]
fn the_ring_page_has_the_table_of_states_row_for_row() {
    let (source, page) = (read("src/ring/node/states.rs"), read("man/arete-ring.8"));
    let row = |line: &str| {
        let line = line.strip_prefix("//! | ")?.strip_suffix(" |")?.replace('`', "");
        Some(line.split(" | ").map(str::to_owned).collect::<Vec<_>>())
    };
    let declared: Vec<_> = source.lines().filter_map(row).filter(|row| row[0] != "---").collect();
    let mut described = rows(&page, ".Sh STATES");
    described[0].iter_mut().for_each(|cell| *cell = cell.trim_start_matches("Sy ").to_owned());
    assert_eq!(described, declared);
    assert!(declared.len() > 10);
}

#[test]
fn the_ring_page_has_every_message_with_its_serial_code_and_every_key() {
    let (source, page) = (read("src/ring/message.rs"), read("man/arete-ring.8"));
    let code = |name: &str| {
        let number = source.lines().find_map(|line| line.strip_prefix(&format!("const {name}: u64 = ")));
        number.unwrap_or_else(|| panic!("{name} is declared")).trim_end_matches(';').replace('_', "")
    };
    let kinds = between(&source, "    fn kind(&self) -> (&'static str, u64) {", "    }");
    let declared: BTreeMap<String, String> = kinds
        .filter_map(|line| line.split_once("=> (\"")?.1.trim_end_matches("),").split_once("\", "))
        .map(|(kind, name)| (kind.to_owned(), code(name)))
        .collect();
    let described = rows(&page, ".Sh ON THE WIRE").into_iter().skip(1).map(|row| (row[0].clone(), row[1].clone()));
    assert_eq!(described.collect::<BTreeMap<_, _>>(), declared);
    assert!(declared.len() == 7 && page.contains(&arete::ring::token::TOKEN_CODE.to_string()));

    let mut keys = fields(between(&source, "pub struct Extra {", "}"));
    keys.remove("fence");
    keys.extend(["epoch", "hop"].map(|name| (name.to_owned(), false)));
    let wire = between(&source, "struct Wire {", "}").filter(|line| !line.contains("rename"));
    keys.extend(fields(wire).into_iter().map(|(name, optional)| match name.as_str() {
        "kind" => ("type".to_owned(), optional),
        _ => (name, optional),
    }));
    assert_eq!(listed(between(&page, ".Sh ON THE WIRE", ".Sh")), keys);
}

/// The items `.It Cm NAME`, and whether `Op` marks each as optional.
fn listed<'a>(lines: impl Iterator<Item = &'a str>) -> Fields {
    let item = |line: &'a str| {
        let item = line.strip_prefix(".It ")?;
        let name = item.trim_start_matches("Op ").strip_prefix("Cm ")?;
        Some((name.to_owned(), item.starts_with("Op ")))
    };
    lines.filter_map(item).collect()
}

#[test]
fn the_ring_page_has_every_key_of_the_lines_of_json() {
    let (source, page) = (read("src/ring/watch.rs"), read("man/arete-ring.8"));
    let declared = fields(between(&source, "struct NewsLine<'a> {", "}"));
    assert_eq!(listed(between(&page, ".Sh LINES OF JSON", ".Sh")), declared);
    let news = read("src/ring/observer.rs");
    for event in news.lines().filter_map(|line| line.trim().strip_prefix("News::")?.split_once(" => \"")) {
        let name = event.1.trim_end_matches("\",");
        assert!(page.lines().any(|line| line == format!(".Li {name} :")), "the page does not name the event {name}");
    }
}

#[test]
fn the_ring_page_has_what_the_work_step_is_given_and_the_files() {
    let (work, page) = (read("src/ring/work.rs"), read("man/arete-ring.8"));
    let given: BTreeSet<&str> = work.split('"').filter(|word| word.starts_with("ARETE_")).collect();
    let described = page.lines().filter_map(|line| line.strip_prefix(".It Ev "));
    assert_eq!(described.collect::<BTreeSet<_>>(), given);
    let files = between(&page, ".Sh FILES", ".Sh").collect::<String>();
    let written = work.split('"').filter(|word| word.ends_with(".out") || word.ends_with(".err"));
    for file in written.chain([arete::ring::memory::STATE_FILE, arete::ring::memory::DATA_FILE]) {
        assert!(files.contains(file), "the page does not name the file {file}");
    }
}

#[test]
fn the_ring_page_quotes_the_log_as_the_sources_write_it() {
    let page = read("man/arete-ring.8");
    let sources =
        ["src/ring/node.rs", "src/ring/node/ownership.rs", "src/ring/node/states.rs", "src/ring/node/send.rs"]
            .map(read)
            .concat();
    let is_macro = |word: &&str| ["Ar", "Ns", ",", ":", ";"].contains(word);
    let mut quoted = 0;
    for line in between(&page, ".Sh THE LOG", ".Sh").filter(|line| line.starts_with(".It ")) {
        for part in line.split(" Li ").skip(1) {
            let words: Vec<&str> = part.split(' ').take_while(|word| !is_macro(word)).collect();
            assert!(sources.contains(&words.join(" ")), "no source writes {words:?}");
            quoted += 1;
        }
    }
    assert!(quoted > 8, "{quoted}");
}

#[test]
fn the_ring_page_states_the_bounds_and_defaults_of_the_sources() {
    use arete::ring::{self, message};
    let page = read("man/arete-ring.8");
    let bounds = [
        message::DATA_MAX,
        message::MESSAGE_MAX,
        message::DATAGRAM_MAX,
        message::ID_MAX,
        ring::NODES_MAX,
        ring::UDP_PORT.into(),
        ring::TCP_PORT.into(),
        ring::STATE_PORT.into(),
    ];
    for bound in bounds {
        assert!(page.contains(&bound.to_string()), "the page does not say {bound}");
    }
    let default = ring::Periods::default();
    let options = [
        ("hold", default.hold),
        ("heartbeat", default.heartbeat),
        ("waiter", default.waiter),
        ("ask", default.ask),
        ("answer", default.answer),
        ("generating", default.generating),
    ];
    for (option, time) in options {
        let said = match time.as_millis() {
            millis if millis % 1_000 == 0 => format!("Default: {} seconds.", millis / 1_000),
            millis => format!("Default: {millis}ms."),
        };
        let item = format!(".It Fl -{option} Ar TIME");
        assert!(between(&page, &item, ".It").any(|line| line == said), "the default of --{option}");
    }
}

#[test]
fn these_tests_can_fail() {
    let source = "pub enum E {\n    /// a: doc\n    One,\n    TwoWords {\n        #[serde(default)]\n        a: u8,\n        b: u8,\n    },\n    C,\n    D,\n}\n";
    let found = variants(source, "pub enum E {");
    assert_eq!(found["two-words"], Fields::from([("a".to_owned(), true), ("b".to_owned(), false)]));
    assert_eq!(found.len(), 4);
    let page = ".Sh S\n.Bl -tag\n.It Cm one\n.Bl -tag\n.It Cm a\n.It Op Cm b\n.El\n.It Cm two\n.El\n.Sh T\n.It Cm x\n";
    let found = items(page, ".Sh S");
    assert_eq!(found["one"], Fields::from([("a".to_owned(), false), ("b".to_owned(), true)]));
    assert_eq!(found.len(), 2);
}

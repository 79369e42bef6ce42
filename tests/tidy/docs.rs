//! What the documents say of the code: paths that exist, limits as they are set, links that lead somewhere.

use super::{Source, has_word, report, root, sources};
use std::fs;
use std::path::{Path, PathBuf};

/// Documents whose code paths and links are looked at.
const DOCUMENTS: &[&str] = &["README.md", "docs"];
const BOUNDS: &str = "docs/bounds.md";
/// The table of contents of the documents as a book.
const SUMMARY: &str = "docs/SUMMARY.md";
/// Constants that are called limits and are none of what a node holds, reads or waits for: facts of Bitcoin, and texts for people.
const NO_BOUNDS: &[&str] = &[
    "MAX_ADDRESS",
    "MAX_AGE",
    "MAX_AHEAD",
    "MAX_HEADER_TIME_AHEAD",
    "MAX_MONEY",
    "MAX_SIGOPS",
    "MAX_WEIGHT",
    "MOST_BRANCH",
    "MOST_COINBASE",
];

struct Document {
    /// Path from the project's root.
    path: String,
    text: String,
}

fn documents() -> Vec<Document> {
    let mut paths = Vec::new();
    for place in DOCUMENTS {
        walk(&root().join(place), &mut paths);
    }
    assert!(paths.len() > 2, "the documents are not where they should be");
    let read = |path: PathBuf| Document {
        text: fs::read_to_string(&path).expect("a document"),
        path: path.strip_prefix(root()).expect("under the root").to_str().expect("a plain name").into(),
    };
    paths.into_iter().map(read).collect()
}

fn walk(place: &Path, found: &mut Vec<PathBuf>) {
    if place.is_dir() {
        let entries = fs::read_dir(place).expect("a folder");
        entries.for_each(|entry| walk(&entry.expect("a folder entry").path(), found));
    } else if place.extension().is_some_and(|extension| extension == "md") {
        found.push(place.to_owned());
    }
}

/// The numbered lines outside of fenced blocks.
fn unfenced(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().map(|(number, line)| (number + 1, line)).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands in single backquotes, outside of fenced blocks, line by line.
fn quoted(text: &str) -> impl Iterator<Item = (usize, &str)> {
    unfenced(text)
        .flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |span| (number, span)))
}

/// Whether a quoted text is a path in the code, like `chain::ChainHandle::offer`.
fn is_path(span: &str) -> bool {
    let segments: Vec<&str> = span.split("::").collect();
    let is_name = |name: &&str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    segments.len() > 1 && segments.iter().all(is_name) && !["std", "core", "tokio"].contains(&segments[0])
}

/// The sources of both crates.
struct Code(Vec<Source>);

impl Code {
    fn read() -> Self {
        Self(sources(&["src", "sharechain/src"]))
    }

    /// The sources that the module at the front of a path consists of, and the names behind it; all of them for a path
    /// that begins with a type.
    fn resolve<'p>(&self, path: &'p str) -> (Vec<&Source>, Vec<&'p str>) {
        let (folder, path) = match path.strip_prefix("sharechain::") {
            Some(rest) => ("sharechain/src", rest),
            None => ("src", path),
        };
        let names: Vec<&str> = path.split("::").collect();
        if path.starts_with(char::is_uppercase) {
            return (self.0.iter().collect(), names);
        }
        for modules in (1..=names.len()).rev() {
            let module = format!("{folder}/{}", names[..modules].join("/"));
            let [file, inside] = [format!("{module}.rs"), format!("{module}/")];
            let of_module = |source: &&Source| source.path == file || source.path.starts_with(&inside);
            let found: Vec<&Source> = self.0.iter().filter(of_module).collect();
            if !found.is_empty() {
                return (found, names[modules..].to_vec());
            }
        }
        (Vec::new(), Vec::new())
    }
}

/// Whether lines of code declare this name: as an item, or as a variant or field at the beginning of a line.
fn declares(source: &Source, name: &str) -> bool {
    const ITEMS: &[&str] = &["fn", "struct", "enum", "trait", "const", "static", "type", "mod"];
    source.code().any(|(_, line)| {
        let item = ITEMS.iter().any(|item| has_word(line, &format!("{item} {name}")));
        let rest = line.trim_start().trim_start_matches("pub ").strip_prefix(name);
        item || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([',', '(', ':', ' ']))
    })
}

#[test]
fn paths_in_the_documents_exist() {
    let code = Code::read();
    let mut faults = Vec::new();
    for document in documents() {
        for (number, path) in quoted(&document.text).filter(|(_, span)| is_path(span)) {
            let (module, names) = code.resolve(path);
            let is_there = |name: &&str| module.iter().any(|source| declares(source, name));
            if module.is_empty() || !names.iter().all(is_there) {
                faults.push(format!("{}:{number}: {path}", document.path));
            }
        }
    }
    report("these are not in the code (any more); say what is:", &faults);
}

#[test]
fn limits_are_as_the_documents_say() {
    let text = fs::read_to_string(root().join(BOUNDS)).expect("the document of bounds");
    let code = Code::read();
    let mut faults = Vec::new();
    let mut compared = 0;
    for row in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        let (Some(paths), Some(values)) = (cells.get(2), cells.get(3)) else { continue };
        for ((_, path), (_, value)) in quoted(paths).zip(quoted(values)) {
            let (module, names) = code.resolve(path);
            let Some(name) = names.last().filter(|name| name.chars().all(|c| c.is_uppercase() || c == '_'))
            else {
                continue;
            };
            let set = |line: &str| {
                has_word(line, &format!("const {name}")) && line.trim_end().ends_with(&format!("= {value};"))
            };
            compared += 1;
            if !module.iter().flat_map(|source| source.code()).any(|(_, line)| set(line)) {
                faults.push(format!("{path} is not {value}"));
            }
        }
    }
    assert!(compared > 40, "the table of bounds is not where it should be");
    report(&format!("change {BOUNDS} with the code:"), &faults);
}

#[test]
fn every_limit_is_in_the_documents() {
    let text = fs::read_to_string(root().join(BOUNDS)).expect("the document of bounds");
    let mut faults = Vec::new();
    for source in sources(&["src"]) {
        for (number, line) in source.code() {
            let Some((_, rest)) = line.split_once("const ") else { continue };
            let name = rest.split(':').next().unwrap_or_default().trim();
            let is_limit = name.starts_with("MAX_") || name.starts_with("MOST_");
            let is_told = has_word(&text, name) || NO_BOUNDS.contains(&name);
            if is_limit && !is_told {
                faults.push(format!("{}:{number}: {name}", source.path));
            }
        }
    }
    report(&format!("every limit stands in {BOUNDS}:"), &faults);
}

/// The links in a text, outside of fenced blocks, line by line.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    unfenced(text).flat_map(|(number, line)| {
        let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        links.map(move |link| (number, link))
    })
}

/// What a link to a heading calls it, as code hosts and mdBook do.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    let headings = unfenced(text).map(|(_, line)| line).filter(|line| line.starts_with('#'));
    headings.map(|heading| anchor(heading.trim_matches('#'))).any(|anchor| anchor == wanted)
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for document in documents() {
        let folder = root().join(&document.path).parent().expect("a file has a folder").to_owned();
        for (number, link) in links(&document.text).filter(|(_, link)| !link.is_empty()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { root().join(&document.path) } else { folder.join(file) };
            let elsewhere = link.contains("://");
            let heading_is_there = |text: String| heading.is_empty() || has_anchor(&text, heading);
            let is_text = target.extension().is_some_and(|extension| extension == "md");
            let leads =
                target.exists() && (!is_text || fs::read_to_string(&target).is_ok_and(heading_is_there));
            if !elsewhere && !leads {
                faults.push(format!("{}:{number}: {link}", document.path));
            }
        }
    }
    report("these links lead nowhere:", &faults);
}

/// In the book there is nothing above it.
#[test]
fn links_of_the_book_stay_in_it() {
    let mut faults = Vec::new();
    for document in documents().into_iter().filter(|document| document.path.starts_with("docs/")) {
        let depth = document.path.matches('/').count() - 1;
        for (number, link) in links(&document.text).filter(|(_, link)| link.matches("../").count() > depth) {
            faults.push(format!("{}:{number}: {link}", document.path));
        }
    }
    report("these links leave docs/ (name the file instead):", &faults);
}

#[test]
fn every_document_is_a_page_of_the_book() {
    let summary = fs::read_to_string(root().join(SUMMARY)).expect("the table of contents");
    let mut named: Vec<String> = links(&summary).map(|(_, link)| format!("docs/{link}")).collect();
    named.retain(|path| path != "docs/");
    let pages = named.len();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), pages, "a page stands in {SUMMARY} twice");
    let is_page = |document: &Document| document.path.starts_with("docs/") && document.path != SUMMARY;
    let missing = documents().into_iter().filter(is_page).filter(|page| !named.contains(&page.path));
    let faults: Vec<String> = missing
        .map(|page| {
            let title =
                page.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']).to_owned();
            format!("- [{title}]({})", page.path.trim_start_matches("docs/"))
        })
        .collect();
    report(&format!("add these lines to {SUMMARY}:"), &faults);
}

#[test]
fn paths_and_names_are_found_in_every_form() {
    assert!(is_path("chain::ChainHandle::offer") && !is_path("chain") && !is_path("std::net"));
    assert!(!is_path("a::b()") && !is_path("::b"));
    let text = "`a` and `b::c`\n```\n`no`\n```\n`d`";
    assert_eq!(quoted(text).collect::<Vec<_>>(), [(1, "a"), (1, "b::c"), (5, "d")]);
    assert_eq!(links("[a](b)\n```\n[no](x)\n```\n![c](d#e) (f)").collect::<Vec<_>>(), [(1, "b"), (5, "d#e")]);
    assert_eq!(anchor(" 11. Test `vectors`, *all*"), "11-test-vectors-all");
    assert!(has_anchor("# A\n## b c\n", "b-c") && !has_anchor("```\n# no\n```\nb c", "no"));
    let declared = |line: &str, name| declares(&Source { path: String::new(), text: line.into() }, name);
    assert!(declared("    pub(super) fn run(self) {", "run") && declared("    Ready(u8),", "Ready"));
    assert!(declared("const N: u8 = 1;", "N") && declared("    pub field: u8,", "field"));
    assert!(!declared("    self.run();", "run") && !declared("fn runs()", "run"));
    let code = Code::read();
    assert_eq!(code.resolve("node::CANDIDATES").1, ["CANDIDATES"]);
    assert_eq!(code.resolve("Node::start").1, ["Node", "start"]);
    assert!(code.resolve("nowhere::X").0.is_empty());
}

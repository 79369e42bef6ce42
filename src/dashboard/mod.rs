//! The dashboard: pages for people, in the binary as they stand in this folder. They ask the interface for everything that
//! they show, and nothing else; this module knows their names and what browsers may do with them.

/// Where the files lie that pages ask for.
const FOLDER: &str = "/dashboard/";
/// Before the address of an owner, whose page it is.
const OWNERS: &str = "/owners/";

/// What a browser lets the pages do: ask the node that they are from, and draw.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                          img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Its content type.
    pub kind: &'static str,
    /// All of it.
    pub text: &'static str,
}

/// The page of the whole node.
pub const INDEX: File = page(include_str!("index.html"));
/// The page of one owner; which one it reads from its address.
pub const OWNER: File = page(include_str!("owner.html"));

const fn page(text: &'static str) -> File {
    File { kind: "text/html; charset=utf-8", text }
}

const fn script(text: &'static str) -> File {
    File { kind: "text/javascript; charset=utf-8", text }
}

const fn style(text: &'static str) -> File {
    File { kind: "text/css; charset=utf-8", text }
}

/// What the pages are made of, by name.
const FILES: &[(&str, File)] = &[
    ("api.js", script(include_str!("api.js"))),
    ("chain.js", script(include_str!("chain.js"))),
    ("chart.js", script(include_str!("chart.js"))),
    ("dom.js", script(include_str!("dom.js"))),
    ("events.js", script(include_str!("events.js"))),
    ("format.js", script(include_str!("format.js"))),
    ("found.js", script(include_str!("found.js"))),
    ("health.js", script(include_str!("health.js"))),
    ("icon.svg", File { kind: "image/svg+xml", text: include_str!("icon.svg") }),
    ("index.js", script(include_str!("index.js"))),
    ("miners.js", script(include_str!("miners.js"))),
    ("network.js", script(include_str!("network.js"))),
    ("owner.js", script(include_str!("owner.js"))),
    ("parts.css", style(include_str!("parts.css"))),
    ("payments.js", script(include_str!("payments.js"))),
    ("payouts.js", script(include_str!("payouts.js"))),
    ("rates.js", script(include_str!("rates.js"))),
    ("pictures.css", style(include_str!("pictures.css"))),
    ("section.js", script(include_str!("section.js"))),
    ("shown.js", script(include_str!("shown.js"))),
    ("style.css", style(include_str!("style.css"))),
];

/// Addresses of all files but the pages.
pub fn files() -> impl Iterator<Item = (String, File)> {
    FILES.iter().map(|(name, file)| (format!("{FOLDER}{name}"), *file))
}

/// Whether a page is at this path. There is nothing in one that is not in the program of everybody: what it shows it asks
/// for.
pub fn is_page(path: &str) -> bool {
    let owner = path.strip_prefix(OWNERS);
    path == "/" || owner.is_some_and(|address| !address.is_empty() && !address.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    #[test]
    fn every_file_of_the_folder_is_served_and_is_short() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard");
        let served: BTreeSet<&str> =
            FILES.iter().map(|(name, _)| *name).chain(["index.html", "owner.html", "mod.rs"]).collect();
        let names: Vec<String> = fs::read_dir(&folder)
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name"))
            .collect();
        assert_eq!(names.iter().map(String::as_str).collect::<BTreeSet<_>>(), served);
        for name in names {
            let lines = fs::read_to_string(folder.join(&name)).expect("a text").lines().count();
            assert!(lines <= 250, "{name} has {lines} lines; make modules of its parts");
        }
    }

    #[test]
    fn whatever_a_file_names_is_served_and_nothing_is_from_elsewhere() {
        let served: BTreeSet<String> = files().map(|(path, _)| path).collect();
        for (name, file) in FILES.iter().copied().chain([("index.html", INDEX), ("owner.html", OWNER)]) {
            let quoted = file.text.split('"').skip(1).step_by(2);
            for text in quoted.clone().filter(|text| text.starts_with(FOLDER)) {
                assert!(served.contains(text), "{name} names {text}");
            }
            for text in quoted.filter_map(|text| text.strip_prefix("./")) {
                assert!(served.contains(&format!("{FOLDER}{text}")), "{name} names {text}");
            }
            let elsewhere = file.text.match_indices("://").filter(|(at, _)| {
                // The name of a kind of picture; nobody goes there.
                !file.text[*at..].starts_with("://www.w3.org/2000/svg")
            });
            assert_eq!(elsewhere.count(), 0, "{name} names another place");
        }
    }

    #[test]
    fn texts_never_become_markup() {
        for (name, file) in FILES {
            for word in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
            {
                assert!(!file.text.contains(word), "{name} has {word}");
            }
        }
        for (name, page) in [("index.html", INDEX), ("owner.html", OWNER)] {
            // The policy would not let them do anything.
            for word in [" style=", " onclick=", " onload=", "<style", "javascript:"] {
                assert!(!page.text.contains(word), "{name} has {word}");
            }
        }
    }

    #[test]
    fn both_pages_have_the_same_frame() {
        let frame = |page: File| {
            let (before, rest) = page.text.split_once("<header>").expect("a header");
            let (_, after) = rest.split_once("</main>").expect("a main part");
            let own = |line: &&str| line.contains("<title>") || line.contains("<script ");
            let before: Vec<&str> = before.lines().filter(|line| !own(line)).collect();
            (before.join("\n"), after)
        };
        assert_eq!(frame(INDEX), frame(OWNER));
    }

    #[test]
    fn pages_are_at_few_addresses() {
        for path in ["/", "/owners/bc1qxyz"] {
            assert!(is_page(path), "{path}");
        }
        for path in
            ["", "/owners", "/owners/", "/owners/a/b", "/v1/tip", "/v1/owners/bc1qxyz", "/dashboard/index.js"]
        {
            assert!(!is_page(path), "{path}");
        }
    }
}

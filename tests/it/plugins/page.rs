//! `docs/plugins.md` for authors: its example is the plugin that `plugin new` writes, file by file, and so all that is proved of that one holds.

use super::noting;

/// The code blocks of the page that begin with `<!-- FILE -->`.
fn blocks(page: &str) -> Vec<(String, String)> {
    let parts = page.split("<!-- file: ").skip(1);
    parts
        .map(|part| {
            let (name, rest) = part.split_once(" -->\n").expect("the end of a file's mark");
            // A page within the page has fences of its own: four ticks stand around it.
            let fence: String = rest.chars().take_while(|c| *c == '`').collect();
            let (_, rest) = rest.split_once('\n').expect("a block");
            let (text, _) = rest.split_once(&format!("\n{fence}\n")).expect("the end of the block");
            (name.to_owned(), format!("{text}\n"))
        })
        .collect()
}

#[test]
fn the_example_of_the_page_is_the_plugin_that_is_tested() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/plugins.md")).unwrap();
    let stage = noting();
    let folder = stage.root().join("plugins/example");
    let blocks = blocks(&page);
    let names: Vec<&str> = blocks.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["plugin.yaml", "plugin.py", "text.md"]);
    for (name, text) in &blocks {
        assert_eq!(&std::fs::read_to_string(folder.join(name)).unwrap(), text, "{name}");
        // The page's own text is what runs here.
        std::fs::write(folder.join(name), text).unwrap();
    }
    stage.run(&["plugin", "check", "example"]).code(0);
    stage.run(&["run", "note"]).code(0);
    stage.run(&["rollback", "--yes"]).code(0);
}

//! The picture at the top of the README is what a run prints, but for its id, its durations and where a terminal breaks a line.
//!
//! It is made from what `runsheet run pre-event` printed on a terminal of 89 columns: a `text` for each part of a line, coloured as it was there.

use super::support::Stage;

/// The lines of the picture.
fn pictured() -> Vec<String> {
    let svg = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/run.svg")).unwrap();
    let mut lines: Vec<(String, String)> = Vec::new();
    for text in svg.lines().filter(|line| line.starts_with("<text ")) {
        let y = text.split_once(" y=\"").unwrap().1.split_once('"').unwrap().0.to_owned();
        let said = text.split_once('>').unwrap().1.strip_suffix("</text>").unwrap();
        let said = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        match lines.last_mut() {
            Some((last, line)) if *last == y => line.push_str(&format!(" {said}")),
            _ => lines.push((y, said)),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// The words, without ids and durations.
fn words(lines: &[String]) -> Vec<String> {
    let varies = |word: &&str| {
        let id = word.len() == 8 && word.chars().all(|c| c.is_ascii_hexdigit());
        let duration = word.ends_with('s') && word.trim_end_matches(['s', 'm']).parse::<f64>().is_ok();
        !id && !duration
    };
    lines.iter().flat_map(|line| line.split_whitespace()).filter(varies).map(str::to_owned).collect()
}

#[test]
fn the_picture_of_the_readme_is_what_a_run_prints() {
    let stage = Stage::quick_pre_event().sandbox(50);
    let ran = stage.run(&["run", "pre-event", "-p", "event_id=6f2c1a52-9d1b-4f6e-8f0e-3b1d2a7c9e10"]).code(0);
    let printed: Vec<String> = ran.stdout.lines().map(str::to_owned).collect();
    let pictured = pictured();
    assert!(pictured[0].starts_with("$ runsheet run pre-event ") && pictured[1].starts_with("run "), "{pictured:#?}");
    assert_eq!(words(&pictured[2..]), words(&printed), "make docs/run.svg anew");
}

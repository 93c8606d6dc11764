//! Plugins through the binary: their folder, their protocol, what a hostile one can do (nothing but fail its step), and what a run keeps of them.

mod command_line;
mod hostile;
mod page;
mod runs;
mod secrets;
mod ways;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::support::Stage;

/// Writes a plugin into the stage's root, over a former one of the same name.
fn write_plugin(stage: &Stage, name: &str, manifest: &str, script: &str) {
    let folder = stage.root().join("plugins").join(name);
    std::fs::create_dir_all(&folder).expect("the plugin's folder");
    std::fs::write(folder.join("plugin.yaml"), manifest).expect("the manifest");
    let file = folder.join("plugin.py");
    std::fs::write(&file, script).expect("the script");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("it is executable");
}

/// A plugin of the repository, in the stage's root.
pub fn repository_plugin(stage: &Stage, name: &str) {
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins").join(name), &stage.root().join("plugins").join(name));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder of the plugin");
    for entry in std::fs::read_dir(from).expect("the plugin's folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).expect("a file of the plugin");
        }
    }
}

/// A plugin that works, as `plugin new` writes it, and a playbook that lets it put a text into `notes.txt`.
fn noting() -> Stage {
    let stage = Stage::new().playbook(
        "note",
        "playbook: note\nsummary: Keep a note\nparams:\n  text: { type: string, default: doors at seven }\nsteps:\n  - id: note\n    uses: example.text\n    with: { path: notes.txt, text: \"${{ params.text }}\" }\n",
    );
    stage.run(&["plugin", "new", "example"]).code(0);
    stage
}

/// What the note says.
fn note(stage: &Stage) -> Option<String> {
    std::fs::read_to_string(stage.root().join("notes.txt")).ok()
}

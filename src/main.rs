//! The binary: the supervisor where it is called as one.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == runsheet::process::SUPERVISE) {
        return runsheet::process::supervisor::main(args);
    }
    ExitCode::from(2)
}

//! The binary: the command line, or the supervisor of one child where it is called as that.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == runsheet::process::SUPERVISE) {
        return runsheet::process::supervisor::main(args);
    }
    runsheet::cli::main()
}

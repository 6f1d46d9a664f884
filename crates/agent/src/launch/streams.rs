//! Where the streams of scripts and tasks lead, from the dialect's words to the supervisor's.

use muster_runtime::unit::{Input, Output, Streams};
use muster_slurm::environment::{OutputPaths, Stream};

/// The streams for `paths`.
pub(super) fn streams(paths: OutputPaths) -> Streams {
    Streams {
        input: match paths.stdin {
            Stream::Null => Input::Null,
            Stream::File(path) => Input::File(path),
            Stream::Client => Input::Client,
        },
        output: output(paths.stdout),
        error: paths.stderr.map(output),
        append: paths.append,
        unbuffered: false,
        labels: None,
    }
}

fn output(stream: Stream) -> Output {
    match stream {
        Stream::Null => Output::Null,
        Stream::File(path) => Output::File(path),
        Stream::Client => Output::Client,
    }
}

//! A picture of replays, as SVG: use of the machine and length of the queue over time, and how waits are distributed.

use std::fmt::Write as _;

use crate::schedule::Schedule;
use crate::workload::Workload;

/// One replay in the picture.
#[derive(Debug, Clone, Copy)]
pub struct Plotted<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Its schedule.
    pub schedule: &'a Schedule,
}

/// Width of the picture and of a panel in it, and places of things.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const PANEL_HEIGHT: f64 = 200.0;
const PANEL_GAP: f64 = 64.0;
const TOP: f64 = 64.0;
/// Points of a curve over time: more than can be told apart at this width.
const BINS: usize = 600;

/// Colours that can be told apart by most people (Okabe and Ito), and dashes for those who cannot.
const STROKES: [(&str, &str); 8] = [
    ("#0072b2", ""),
    ("#d55e00", "6 3"),
    ("#009e73", "2 2"),
    ("#cc79a7", "8 2 2 2"),
    ("#e69f00", "4 4"),
    ("#56b4e9", "10 3"),
    ("#000000", "1 3"),
    ("#999999", "12 4 2 4"),
];

/// The picture. `title` is shown as it is.
pub fn svg(title: &str, workload: &Workload, cpus: u32, replays: &[Plotted<'_>]) -> String {
    let height = TOP + 3.0 * PANEL_HEIGHT + 3.0 * PANEL_GAP;
    let mut text = String::new();
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<title>{0}</title>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\">{0}</text>\n",
        escape(title)
    );
    legend(&mut text, replays);
    let time = TimeAxis::of(workload, replays);
    let use_of: Vec<Vec<f64>> = replays.iter().map(|replay| time.used(workload, replay.schedule, cpus)).collect();
    let queue_of: Vec<Vec<f64>> = replays.iter().map(|replay| time.queued(workload, replay.schedule)).collect();
    over_time(&mut text, 0, "processors in use, %", &time, 100.0, &use_of);
    let longest = queue_of.iter().flatten().copied().fold(1.0, f64::max);
    over_time(&mut text, 1, "jobs waiting", &time, round_up(longest), &queue_of);
    waits(&mut text, 2, workload, replays);
    text.push_str("</svg>\n");
    text
}

fn legend(text: &mut String, replays: &[Plotted<'_>]) {
    let step = (WIDTH - LEFT - RIGHT) / replays.len().max(1) as f64;
    for (at, replay) in replays.iter().enumerate() {
        let x = LEFT + step * at as f64;
        let (colour, dash) = STROKES[at % STROKES.len()];
        let _ = writeln!(
            text,
            "<line x1=\"{x:.1}\" y1=\"40\" x2=\"{:.1}\" y2=\"40\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dash}\"/><text x=\"{:.1}\" y=\"44\">{}</text>",
            x + 28.0,
            x + 34.0,
            escape(replay.name)
        );
    }
}

/// The time that a picture covers, in equal bins.
struct TimeAxis {
    begin: i64,
    length: i64,
}

impl TimeAxis {
    fn of(workload: &Workload, replays: &[Plotted<'_>]) -> TimeAxis {
        let begin = workload.jobs.first().map_or(0, |job| job.submit.0);
        let ends = replays.iter().flat_map(|replay| {
            let jobs = workload.jobs.iter().zip(&replay.schedule.starts);
            jobs.filter_map(|(job, start)| start.map(|start| (start + job.run).0))
        });
        TimeAxis { begin, length: (ends.max().unwrap_or(begin) - begin).max(1) }
    }

    /// Percentage of processors in use, mean of each bin.
    fn used(&self, workload: &Workload, schedule: &Schedule, cpus: u32) -> Vec<f64> {
        let spans = workload.jobs.iter().zip(&schedule.starts).filter_map(|(job, start)| {
            start.map(|start| (start.0, (start + job.run).0, f64::from(job.cpus) * 100.0 / f64::from(cpus.max(1))))
        });
        self.mean_of(spans)
    }

    /// Waiting jobs, mean of each bin. One that never starts waits to the end.
    fn queued(&self, workload: &Workload, schedule: &Schedule) -> Vec<f64> {
        let last = self.begin + self.length;
        let spans = workload.jobs.iter().zip(&schedule.starts);
        self.mean_of(spans.map(|(job, start)| (job.submit.0, start.map_or(last, |start| start.0), 1.0)))
    }

    /// Sums spans with a height each, as the mean over each bin.
    fn mean_of(&self, spans: impl Iterator<Item = (i64, i64, f64)>) -> Vec<f64> {
        // Of each span, the parts within its first and last bin are added there; what lies between is a rise at one
        // bin and a fall at another, summed up in the end.
        let mut parts = vec![0.0; BINS];
        let mut rises = vec![0.0; BINS + 1];
        let place = |time: i64| (time - self.begin) as f64 / self.length as f64 * BINS as f64;
        for (begin, end, height) in spans {
            let (begin, end) = (place(begin).max(0.0), place(end).min(BINS as f64));
            let (first, last) = ((begin as usize).min(BINS - 1), (end as usize).min(BINS - 1));
            if first == last {
                parts[first] += (end - begin) * height;
            } else {
                parts[first] += (first as f64 + 1.0 - begin) * height;
                parts[last] += (end - last as f64) * height;
                rises[first + 1] += height;
                rises[last] -= height;
            }
        }
        let mut level = 0.0;
        for (part, rise) in parts.iter_mut().zip(&rises) {
            level += rise;
            *part += level;
        }
        parts
    }
}

fn over_time(text: &mut String, panel: usize, label: &str, time: &TimeAxis, top: f64, curves: &[Vec<f64>]) {
    let area = Area::new(panel);
    area.frame(text, label, &[0.0, 0.25, 0.5, 0.75, 1.0].map(|part| (part, short_number(part * top))));
    let day = 86_400_000.0;
    let (unit, name) = if time.length as f64 > 3.0 * day { (day, "days") } else { (3_600_000.0, "hours") };
    let length = time.length as f64 / unit;
    let ticks: Vec<(f64, String)> =
        (0..=6).map(|tick| f64::from(tick) / 6.0).map(|x| (x, short_number(x * length))).collect();
    area.below(text, &ticks, &format!("{name} since the first submit"));
    for (at, curve) in curves.iter().enumerate() {
        let points = curve.iter().enumerate().map(|(bin, value)| ((bin as f64 + 0.5) / BINS as f64, value / top));
        area.curve(text, at, points);
    }
}

/// For each wait, on a logarithmic axis, the percentage of jobs that waited no longer.
fn waits(text: &mut String, panel: usize, workload: &Workload, replays: &[Plotted<'_>]) {
    let area = Area::new(panel);
    area.frame(
        text,
        "jobs that waited no longer, %",
        &[0.0, 25.0, 50.0, 75.0, 100.0].map(|y| (y / 100.0, y.to_string())),
    );
    let marks = [
        (1.0, "1 s"),
        (10.0, "10 s"),
        (60.0, "1 min"),
        (600.0, "10 min"),
        (3600.0, "1 h"),
        (36_000.0, "10 h"),
        (86_400.0, "1 d"),
        (864_000.0, "10 d"),
        (8_640_000.0, "100 d"),
    ];
    let waits_of = |replay: &Plotted<'_>| {
        let jobs = workload.jobs.iter().zip(&replay.schedule.starts);
        let mut waits: Vec<i64> =
            jobs.filter_map(|(job, start)| start.map(|start| start.since(job.submit).0)).collect();
        waits.sort_unstable();
        waits
    };
    let all: Vec<Vec<i64>> = replays.iter().map(waits_of).collect();
    let longest = all.iter().filter_map(|waits| waits.last()).max().copied().unwrap_or(0) as f64 / 1000.0;
    let scale = longest.max(10.0).ln();
    let ticks: Vec<(f64, String)> = marks
        .iter()
        .filter(|(seconds, _)| *seconds <= longest.max(10.0))
        .map(|(seconds, name)| (seconds.ln() / scale, (*name).to_owned()))
        .collect();
    area.below(text, &ticks, "wait (one second and less at the left)");
    for (at, waits) in all.iter().enumerate().filter(|(_, waits)| !waits.is_empty()) {
        let points = (0..=BINS).map(|bin| {
            let x = bin as f64 / BINS as f64;
            let seconds = (x * scale).exp();
            let count = waits.partition_point(|wait| *wait as f64 / 1000.0 <= seconds * (1.0 + 1e-9));
            (x, count as f64 / waits.len() as f64)
        });
        area.curve(text, at, points);
    }
}

/// Where a panel is.
struct Area {
    top: f64,
    bottom: f64,
    right: f64,
}

impl Area {
    fn new(panel: usize) -> Area {
        let top = TOP + (PANEL_HEIGHT + PANEL_GAP) * panel as f64 + 16.0;
        Area { top, bottom: top + PANEL_HEIGHT, right: WIDTH - RIGHT }
    }

    fn frame(&self, text: &mut String, label: &str, ticks: &[(f64, String)]) {
        let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{:.1}\" font-weight=\"bold\">{label}</text>", self.top - 6.0);
        for (part, name) in ticks {
            let y = self.bottom - part * PANEL_HEIGHT;
            let _ = writeln!(
                text,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                self.right,
                LEFT - 6.0,
                y + 4.0
            );
        }
    }

    fn below(&self, text: &mut String, ticks: &[(f64, String)], label: &str) {
        for (part, name) in ticks {
            let x = LEFT + part * (self.right - LEFT);
            let _ = writeln!(
                text,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#888\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
                self.bottom,
                self.bottom + 4.0,
                self.bottom + 17.0
            );
        }
        let middle = (LEFT + self.right) / 2.0;
        let y = self.bottom + 32.0;
        let _ =
            writeln!(text, "<text x=\"{middle:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"#555\">{label}</text>");
    }

    fn curve(&self, text: &mut String, at: usize, points: impl Iterator<Item = (f64, f64)>) {
        let (colour, dash) = STROKES[at % STROKES.len()];
        let _ = write!(
            text,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" stroke-dasharray=\"{dash}\" points=\""
        );
        for (x, y) in points {
            let (x, y) = (LEFT + x * (self.right - LEFT), self.bottom - y.clamp(0.0, 1.0) * PANEL_HEIGHT);
            let _ = write!(text, "{x:.1},{y:.1} ");
        }
        text.push_str("\"/>\n");
    }
}

/// The next number that is 1, 2 or 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    let mut power = 1.0;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            if factor * power >= value {
                return factor * power;
            }
        }
        power *= 10.0;
    }
}

fn short_number(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use muster_model::time::{Span, Timestamp};

    use super::*;
    use crate::workload::Submission;

    #[test]
    fn a_curve_is_the_mean_of_each_bin() {
        let axis = TimeAxis { begin: 0, length: BINS as i64 * 10 };
        let curve = axis.mean_of([(5, 25, 2.0), (12, 14, 1.0)].into_iter());
        assert_eq!(curve[..4], [1.0, 2.2, 1.0, 0.0]);
    }

    #[test]
    fn the_picture_names_what_it_shows() {
        let job = Submission {
            number: 1,
            submit: Timestamp::from_seconds(100),
            run: Span::from_seconds(50),
            limit: Span::from_seconds(60),
            cpus: 4,
            user: 1000,
            priority: 1,
            partition: None,
            spec: None,
        };
        let workload = Workload { jobs: vec![job], ..Workload::default() };
        let schedule = Schedule { starts: vec![Some(Timestamp::from_seconds(130))] };
        let picture = svg("a < b", &workload, 4, &[Plotted { name: "easy", schedule: &schedule }]);
        assert!(picture.contains("<title>a &lt; b</title>") && picture.contains(">easy</text>"));
        assert_eq!(picture.matches("<polyline").count(), 3);
        let open = picture.matches("<text").count();
        assert_eq!(open, picture.matches("</text>").count());
    }
}

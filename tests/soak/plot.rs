//! The report as a picture: SVG by hand, because five lines of numbers need no more.

use std::fmt::Write as _;

use crate::fleet::Sample;

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 90.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 110.0;
const PANEL: f64 = 130.0;
const GAP: f64 = 40.0;

/// One panel: its name, and its value in each sample.
type Panel = (&'static str, fn(&Sample) -> f64);

const PANELS: [Panel; 5] = [
    ("resident memory, MiB", |it| it.rss_kib as f64 / 1024.0),
    ("descriptors", |it| it.descriptors as f64),
    ("devices connected", |it| it.connected as f64),
    ("messages accepted and not acknowledged", |it| {
        it.owed as f64
    }),
    ("attempts to connect, all in all", |it| it.attempts as f64),
];

/// The samples over time, with a line for each fault.
pub(crate) fn draw(samples: &[Sample], marks: &[(f64, String)], devices: usize) -> String {
    let end = samples.last().map_or(1.0, |it| it.seconds.max(1.0));
    let x = |seconds: f64| LEFT + seconds / end * (WIDTH - LEFT - RIGHT);
    let bottom = TOP + PANELS.len() as f64 * (PANEL + GAP) - GAP;
    let height = bottom + 40.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"16\">{devices} devices through {} faults</text>\n",
        marks.len().saturating_sub(1)
    );
    for (seconds, name) in marks {
        let x = x(*seconds);
        let y = TOP - 22.0;
        svg += &format!(
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\n\
             <text transform=\"translate({x:.1} {y}) rotate(-60)\" fill=\"#777\">{name}</text>\n"
        );
    }
    for (n, (name, of)) in PANELS.iter().enumerate() {
        let floor = TOP + n as f64 * (PANEL + GAP) + PANEL;
        let most = samples.iter().map(of).fold(1.0, f64::max) * 1.05;
        let points = samples.iter().fold(String::new(), |mut points, it| {
            let y = floor - of(it) / most * PANEL;
            let _ = write!(points, "{:.1},{y:.1} ", x(it.seconds));
            points
        });
        svg += &format!(
            "<text x=\"{LEFT}\" y=\"{:.1}\">{name}</text>\n\
             <line x1=\"{LEFT}\" y1=\"{floor}\" x2=\"{}\" y2=\"{floor}\" stroke=\"#333\"/>\n\
             <polyline fill=\"none\" stroke=\"#06c\" stroke-width=\"1.5\" points=\"{points}\"/>\n",
            floor - PANEL - 6.0,
            WIDTH - RIGHT
        );
        for share in [0.0, 0.5, 1.0] {
            let y = floor - share / 1.05 * PANEL + 4.0;
            let value = most / 1.05 * share;
            svg += &format!(
                "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">{value:.0}</text>\n",
                LEFT - 6.0
            );
        }
    }
    for minute in 0..=(end / 60.0) as u32 {
        let x = x(f64::from(minute) * 60.0);
        let y = bottom + 18.0;
        svg +=
            &format!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{minute} min</text>\n");
    }
    svg + "</svg>\n"
}

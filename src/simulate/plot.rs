//! Plots as SVG, written by hand: bars, points with error bars, lines; axes with round numbers.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above it.
    pub title: String,
    /// Below it, with the unit.
    pub x_label: String,
    /// To its left, with the unit.
    pub y_label: String,
    /// Whether the horizontal axis is logarithmic.
    pub log_x: bool,
    /// What of the vertical axis is shown at least.
    pub y_range: Option<(f64, f64)>,
    /// What is drawn.
    pub series: Vec<Series>,
}

/// Something drawn, in one colour.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// How.
    pub shape: Shape,
}

/// How data are drawn.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Bars of this width from 0 up: left edge and height.
    Bars(f64, Vec<(f64, f64)>),
    /// Points, each with its error.
    Points(Vec<(f64, f64, f64)>),
    /// A line through these.
    Line(Vec<(f64, f64)>),
}

const COLOURS: [&str; 4] = ["#2b6cb0", "#c05621", "#2f855a", "#6b46c1"];

/// Where numbers are on the paper.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
    log_x: bool,
}

impl Axes {
    fn of(plot: &Plot) -> Self {
        let (mut x, mut y) = ((f64::MAX, f64::MIN), (f64::MAX, f64::MIN));
        let widen = |range: &mut (f64, f64), value: f64| *range = (range.0.min(value), range.1.max(value));
        for series in &plot.series {
            match &series.shape {
                Shape::Bars(width, bars) => bars.iter().for_each(|(left, height)| {
                    [*left, left + width].into_iter().for_each(|value| widen(&mut x, value));
                    [0.0, *height].into_iter().for_each(|value| widen(&mut y, value));
                }),
                Shape::Points(points) => points.iter().for_each(|(at, value, error)| {
                    widen(&mut x, *at);
                    [value - error, value + error].into_iter().for_each(|value| widen(&mut y, value));
                }),
                Shape::Line(points) => points.iter().for_each(|(at, value)| {
                    widen(&mut x, *at);
                    widen(&mut y, *value);
                }),
            }
        }
        if let Some((low, high)) = plot.y_range {
            widen(&mut y, low);
            widen(&mut y, high);
        }
        let room = |(low, high): (f64, f64)| if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
        Self { x: room(x), y: room(y), log_x: plot.log_x }
    }

    fn across(&self, x: f64) -> f64 {
        let scale = |x: f64| if self.log_x { x.max(1e-12).ln() } else { x };
        let (low, high) = (scale(self.x.0), scale(self.x.1));
        LEFT + (scale(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)
    }

    fn up(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (y - self.y.0) / (self.y.1 - self.y.0) * (HEIGHT - TOP - BOTTOM)
    }

    fn x_ticks(&self) -> Vec<f64> {
        if !self.log_x {
            return ticks(self.x);
        }
        let steps = (-12..12).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(power)));
        steps.filter(|tick| (self.x.0..=self.x.1).contains(tick)).collect()
    }
}

/// Some six round numbers within a range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * power >= rough).unwrap_or(10.0) * power;
    let first = (low / step).ceil() as i64;
    (first..).map(|n| n as f64 * step).take_while(|tick| *tick <= high + step * 1e-9).collect()
}

/// A number with as many digits as it needs, without those that are noise.
fn label(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let digits = (2 - value.abs().log10().floor() as i32).clamp(0, 6);
    let text = format!("{value:.*}", digits as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Plot {
    /// The picture.
    pub fn svg(&self) -> String {
        let axes = Axes::of(self);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        text(&mut svg, (WIDTH / 2.0, 18.0), "middle", &self.title);
        self.draw_axes(&mut svg, &axes);
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            draw(&mut svg, &axes, &series.shape, colour);
        }
        for (place, series) in self.series.iter().enumerate().filter(|_| self.series.len() > 1) {
            let y = TOP + 14.0 * place as f64 + 8.0;
            let colour = COLOURS[place % COLOURS.len()];
            line(&mut svg, (WIDTH - 180.0, y - 4.0), (WIDTH - 164.0, y - 4.0), colour);
            text(&mut svg, (WIDTH - 158.0, y), "start", &series.name);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw_axes(&self, svg: &mut String, axes: &Axes) {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        for tick in ticks(axes.y) {
            let y = axes.up(tick);
            line(svg, (LEFT, y), (right, y), "#e2e8f0");
            text(svg, (LEFT - 6.0, y + 4.0), "end", &label(tick));
        }
        for tick in axes.x_ticks() {
            let x = axes.across(tick);
            line(svg, (x, bottom), (x, bottom + 4.0), "#4a5568");
            text(svg, (x, bottom + 18.0), "middle", &label(tick));
        }
        line(svg, (LEFT, bottom), (right, bottom), "#4a5568");
        line(svg, (LEFT, TOP), (LEFT, bottom), "#4a5568");
        text(svg, ((LEFT + right) / 2.0, HEIGHT - 10.0), "middle", &self.x_label);
        let middle = (TOP + bottom) / 2.0;
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            svg,
            "<text transform=\"translate(16 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            escaped(&self.y_label)
        );
    }
}

fn draw(svg: &mut String, axes: &Axes, shape: &Shape, colour: &str) {
    match shape {
        Shape::Bars(width, bars) => {
            for (left, height) in bars {
                let (x, y) = (axes.across(*left), axes.up(*height));
                let (w, h) = (axes.across(left + width) - x - 1.0, axes.up(0.0) - y);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"{colour}\" fill-opacity=\"0.7\"/>"
                );
            }
        }
        Shape::Points(points) => {
            for (at, value, error) in points {
                let (x, y) = (axes.across(*at), axes.up(*value));
                if *error > 0.0 {
                    line(svg, (x, axes.up(value - error)), (x, axes.up(value + error)), colour);
                }
                let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
            }
        }
        Shape::Line(points) => {
            let path: Vec<String> =
                points.iter().map(|(x, y)| format!("{:.1},{:.1}", axes.across(*x), axes.up(*y))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                path.join(" ")
            );
        }
    }
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>"
    );
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks((0.0, 6.0)), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(ticks((0.987, 1.013)).iter().all(|tick| (0.987..=1.0131).contains(tick)));
        assert_eq!([label(0.0), label(0.985), label(1.0), label(1500.0)], ["0", "0.985", "1", "1500"]);
    }

    #[test]
    fn a_plot_has_all_its_data_inside_of_the_paper() {
        let plot = Plot {
            title: "a < b".into(),
            x_label: "x, s".into(),
            y_label: "y, %".into(),
            log_x: true,
            y_range: Some((0.0, 1.0)),
            series: vec![
                Series { name: "p".into(), shape: Shape::Points(vec![(0.001, 0.5, 0.1), (0.5, 0.7, 0.0)]) },
                Series { name: "l".into(), shape: Shape::Line(vec![(0.001, 0.1), (0.5, 0.2)]) },
            ],
        };
        let svg = plot.svg();
        assert!(svg.contains("a &lt; b") && svg.contains("x, s") && svg.contains("y, %"));
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polyline").count()), (2, 1));
        for part in svg.split(" x=\"").skip(1) {
            let x: f64 = part.split('"').next().and_then(|x| x.parse().ok()).expect("a number");
            assert!((0.0..=WIDTH).contains(&x), "{x}");
        }
    }
}

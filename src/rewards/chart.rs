//! Bars as inline SVG: as wide as a phone, in the colours of the page, with a text for those who do not see it.
//!
//! `simulate::plot` draws for documents: wide, dark on white. A page that is read on a phone and in the dark needs another
//! hand.

use std::fmt::Write;

const WIDTH: f64 = 360.0;
const ROW: f64 = 38.0;
const TOP: f64 = 4.0;

/// Bars, one below the other.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Above it.
    pub title: String,
    /// What it shows, for those who do not see it and as a caption.
    pub about: String,
    /// Whether lengths are by the logarithm.
    pub logarithmic: bool,
    /// The bars.
    pub bars: Vec<Bar>,
}

/// A bar, and a mark on it.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// Its length: by formula.
    pub formula: f64,
    /// Its number.
    pub text: String,
    /// Where the mark is: drawn, with its standard error, and in words.
    pub drawn: Option<(f64, f64, String)>,
}

/// Text in a document.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Chart {
    /// The numbers at the left and right end.
    fn range(&self) -> (f64, f64) {
        let drawn = |bar: &Bar| bar.drawn.as_ref().map(|drawn| drawn.0);
        let values = self.bars.iter().flat_map(|bar| [Some(bar.formula), drawn(bar)]);
        let values = || values.clone().flatten().filter(|value| value.is_finite() && *value > 0.0);
        let most = values().fold(0.0, f64::max);
        if !self.logarithmic || most <= 0.0 {
            return (0.0, if most > 0.0 { most } else { 1.0 });
        }
        let least = values().fold(f64::INFINITY, f64::min);
        (10_f64.powf(least.log10().floor() - 1.0), most)
    }

    fn across(&self, value: f64) -> f64 {
        let (low, high) = self.range();
        let part = if self.logarithmic {
            if value > low { (value / low).ln() / (high / low).ln() } else { 0.0 }
        } else {
            value / high
        };
        part.clamp(0.0, 1.0) * (WIDTH - 12.0) + 6.0
    }

    /// The picture; `id` is its own on the page.
    pub fn svg(&self, id: &str) -> String {
        let height = TOP + ROW * self.bars.len() as f64;
        let mut svg = format!(
            "<svg role=\"img\" aria-labelledby=\"{id}-t {id}-d\" viewBox=\"0 0 {WIDTH} {height}\">\n\
             <title id=\"{id}-t\">{}</title>\n<desc id=\"{id}-d\">{}</desc>\n",
            escaped(&self.title),
            escaped(&self.words())
        );
        for (place, bar) in self.bars.iter().enumerate() {
            self.draw(&mut svg, TOP + ROW * place as f64, bar);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, svg: &mut String, y: f64, bar: &Bar) {
        let (left, right, middle) = (6.0, self.across(bar.formula), y + 25.0);
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{:.1}\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            y + 13.0,
            escaped(&bar.label),
            WIDTH - 6.0,
            y + 13.0,
            escaped(&bar.text)
        );
        let _ = writeln!(
            svg,
            "<rect class=\"rail\" x=\"{left}\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\" rx=\"2\"/>\
             <rect class=\"bar\" x=\"{left}\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\" rx=\"2\"/>",
            y + 20.0,
            WIDTH - 12.0,
            y + 20.0,
            (right - left).max(0.0)
        );
        if let Some((drawn, error, _)) = bar.drawn {
            let (from, to) = (self.across(drawn - error), self.across(drawn + error));
            let _ = writeln!(
                svg,
                "<line class=\"mark\" x1=\"{from:.1}\" y1=\"{middle:.1}\" x2=\"{to:.1}\" y2=\"{middle:.1}\"/>\
                 <circle class=\"mark\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"4\"/>",
                self.across(drawn)
            );
        }
    }

    /// All of it in words.
    fn words(&self) -> String {
        let bars = self.bars.iter().map(|bar| {
            let drawn = bar.drawn.as_ref().map(|(_, _, text)| format!(", drawn {text}"));
            format!("{}: {}{}", bar.label, bar.text, drawn.unwrap_or_default())
        });
        format!("{} {}.", self.about, bars.collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, formula: f64, drawn: Option<(f64, f64)>) -> Bar {
        let drawn = drawn.map(|(drawn, error)| (drawn, error, drawn.to_string()));
        Bar { label: label.into(), formula, drawn, text: formula.to_string() }
    }

    #[test]
    fn bars_are_inside_of_the_paper_and_in_words() {
        for logarithmic in [false, true] {
            let chart = Chart {
                title: "a < b".into(),
                about: "Lengths.".into(),
                logarithmic,
                bars: vec![
                    bar("one", 1e-3, Some((2e-3, 5e-3))),
                    bar("all", 1e6, None),
                    bar("none", 0.0, Some((0.0, 0.0))),
                    bar("endless", f64::INFINITY, None),
                ],
            };
            let svg = chart.svg("c1");
            assert!(svg.contains("a &lt; b") && svg.contains("one: 0.001, drawn 0.002"), "{svg}");
            assert_eq!((svg.matches("class=\"bar\"").count(), svg.matches("<circle").count()), (4, 2));
            for attribute in [" x=\"", "x1=\"", "x2=\"", "cx=\"", "width=\""] {
                for part in svg.split(attribute).skip(1) {
                    let number: f64 = part.split('"').next().and_then(|x| x.parse().ok()).expect("a number");
                    assert!((0.0..=WIDTH).contains(&number), "{attribute}{number}");
                }
            }
        }
    }

    #[test]
    fn a_logarithm_tells_small_numbers_apart() {
        let of = |logarithmic| {
            let bars = vec![bar("a", 0.001, None), bar("b", 0.01, None), bar("c", 1e6, None)];
            let chart = Chart { title: String::new(), about: String::new(), logarithmic, bars };
            chart.across(0.01) - chart.across(0.001)
        };
        assert!(of(true) > 20.0 && of(false) < 0.1);
    }
}

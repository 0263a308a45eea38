//! Plots as SVG: one function for any curves, with an [`Axis`] that knows what it counts.
//!
//! A drawing is free of scripts and fonts, has no background, and its colours hold on white and on
//! black; it follows the reader's light or dark setting also where it stands alone as a file.
//!
//! ```
//! use tutti_loadgen::plots::{Axis, Series, curve};
//! use tutti_loadgen::units::Unit;
//!
//! let x = Axis::new("members of the channel", Unit::Count).log();
//! let y = Axis::new("CPU per delivery", Unit::Micros).from_zero();
//! let svg = curve("Cost of a delivery", &x, &y, &[
//!     Series::dotted("1 shard", vec![(10.0, 2.1), (100.0, 1.4), (1_000.0, 1.3)]),
//!     Series::dotted("2 shards", vec![(10.0, 2.4), (100.0, 1.5), (1_000.0, 1.3)]),
//! ]);
//! assert!(svg.starts_with("<svg"));
//! ```

mod axis;
mod ink;
mod labels;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use axis::{Axis, Scale};
use axis::{Placed, Rim, Ruler, Span};
use ink::{GRID, INK, MUTED, SCALE, units};

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// A line.
    #[default]
    Line,
    /// A line with a dot at each point: few points, each of them measured.
    Dotted,
    /// A broken line: what was asked for, or a limit.
    Dashed,
    /// Rings without a line: points that are not part of a curve.
    Rings,
}

/// Points with a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Written at the end of the line; may be empty.
    pub name: String,
    /// In the order in which they are connected. What is not finite, or not above 0 on a logarithmic
    /// scale, is left out.
    pub points: Vec<(f64, f64)>,
    /// How it is drawn.
    pub style: Style,
    /// Which colour of the palette; `None` for that of its place among the series.
    pub colour: Option<usize>,
}

impl Series {
    /// A line.
    #[must_use]
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, ..Self::default() }
    }

    /// A line with a dot at each point.
    #[must_use]
    pub fn dotted(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { style: Style::Dotted, ..Self::line(name, points) }
    }

    /// A broken line.
    #[must_use]
    pub fn dashed(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { style: Style::Dashed, ..Self::line(name, points) }
    }

    /// Rings without a line.
    #[must_use]
    pub fn rings(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { style: Style::Rings, ..Self::line(name, points) }
    }

    /// The same in a colour of the palette.
    #[must_use]
    pub fn coloured(self, colour: usize) -> Self {
        Self { colour: Some(colour), ..self }
    }
}

/// Width of a drawing in CSS pixels; it scales to any other.
pub const WIDTH: u32 = 640;
/// Height of a drawing with up to [`LABELS_MAX`] series.
const HEIGHT: u32 = 310;
/// Labels that fit beside each other at the right.
const LABELS_MAX: usize = 15;
/// Room above the plot for the y axis' label.
const ABOVE: i32 = 30;
/// Room above that for the title.
const TITLE: i32 = 24;
/// Room below the plot for the ticks and the x axis' label.
const BELOW: i32 = 46;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Ruler, Ruler>>;

/// Draws curves into an SVG document of their own. An empty title takes no room.
///
/// # Panics
/// Never: what the drawing library reports are failures to write, and it writes to memory.
#[must_use]
pub fn curve(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let lines: Vec<Placed<'_>> =
        series.iter().enumerate().map(|(n, one)| Placed::new(n, one, x, y)).collect();
    let extra = labels::STEP * lines.len().saturating_sub(LABELS_MAX) as i32;
    let height = HEIGHT + extra.unsigned_abs();
    let mut svg = String::new();
    {
        let area =
            SVGBackend::with_string(&mut svg, (WIDTH * SCALE, height * SCALE)).into_drawing_area();
        draw(&area, title, x, y, &lines).expect("memory can be written to");
        area.present().expect("memory can be written to");
    }
    ink::dress(&svg, title, height)
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(area: &Area<'_>, title: &str, x: &Axis, y: &Axis, lines: &[Placed<'_>]) -> Drawn {
    let points = || lines.iter().flat_map(|line| &line.points);
    // A dot on the rim would be cut in two by it.
    let dots = lines.iter().any(|line| matches!(line.style, Style::Dotted | Style::Rings));
    let rim = if dots { Rim::Dots } else { Rim::Lines };
    let across = Span::of(x, points().map(|point| point.0), rim);
    let up = Span::of(y, points().map(|point| point.1), Rim::Ticks);
    let (y_ticks, x_ticks) = (y.ticks(&up), x.ticks(&across));
    let widest = y_ticks.iter().map(|&at| y.tick(at).chars().count()).max().unwrap_or(0);
    let left = (labels::width(widest) + 14).clamp(40, 110);
    let above = if title.is_empty() { ABOVE } else { ABOVE + TITLE };
    if !title.is_empty() {
        write(area, title, (0, 2), &ink::text(15, INK, true), HPos::Left)?;
    }
    write(area, &y.label, (0, above - ABOVE + 4), &ink::text(12, MUTED, false), HPos::Left)?;

    let mut chart: Chart<'_> = ChartBuilder::on(area)
        .margin_top(units(above))
        .margin_right(units(labels::room(lines)))
        .set_label_area_size(LabelAreaPosition::Left, units(left))
        .set_label_area_size(LabelAreaPosition::Bottom, units(BELOW))
        .build_cartesian_2d(Ruler::new(&across, x_ticks), Ruler::new(&up, y_ticks))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.mix(0.28).stroke_width(3))
        .axis_style(TRANSPARENT)
        .set_all_tick_mark_size(units(4))
        .label_style(ink::text(12, MUTED, false))
        .x_label_formatter(&|at| x.tick(*at))
        .y_label_formatter(&|at| y.tick(*at))
        .draw()?;

    let plot = chart.plotting_area().get_pixel_range();
    let (width, height) = area.dim_in_pixel();
    let floor = [(plot.0.start, plot.1.end), (plot.0.end, plot.1.end)];
    area.draw(&PathElement::new(floor.to_vec(), GRID.mix(0.8).stroke_width(4)))?;
    let middle = (plot.0.start + plot.0.end) / 2;
    let below = height as i32 - units(18);
    let label = ink::text(12, MUTED, false).pos(Pos::new(HPos::Center, VPos::Top));
    area.draw(&Text::new(x.label.clone(), (middle, below), label))?;
    if points().next().is_none() {
        let centre = (middle, (plot.1.start + plot.1.end) / 2);
        let label = ink::text(13, MUTED, false).pos(Pos::new(HPos::Center, VPos::Center));
        area.draw(&Text::new("nothing was measured", centre, label))?;
    }

    // What was first named lies on top.
    for line in lines.iter().rev() {
        trace(&mut chart, line)?;
    }
    let ends = lines.iter().filter_map(|line| {
        let end = line.points.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some((line, chart.backend_coord(end)))
    });
    labels::draw(area, plot.0.end, plot.1, width as i32, ends.collect())
}

/// Text whose top left (or right) corner is at a place in CSS pixels.
fn write(area: &Area<'_>, text: &str, at: (i32, i32), style: &TextStyle<'_>, side: HPos) -> Drawn {
    let style = style.pos(Pos::new(side, VPos::Top));
    area.draw(&Text::new(labels::cut(text, 100), (units(at.0), units(at.1)), style))
}

fn trace(chart: &mut Chart<'_>, line: &Placed<'_>) -> Drawn {
    let colour = line.colour;
    let style = colour.stroke_width(7);
    let dot = |at: (f64, f64), radius: u32, style: ShapeStyle| Circle::new(at, radius, style);
    match line.style {
        Style::Dashed => {
            let points = line.points.iter().copied();
            chart.draw_series(DashedLineSeries::new(points, 20, 16, colour.stroke_width(6)))?;
        }
        Style::Rings => {}
        Style::Line | Style::Dotted => {
            chart.draw_series([PathElement::new(line.points.clone(), style)])?;
        }
    }
    match line.style {
        Style::Dotted => {
            let dots = line.points.iter().map(|&at| dot(at, 13, colour.filled()));
            chart.draw_series(dots)?;
        }
        Style::Rings => {
            let rings = line.points.iter().map(|&at| dot(at, 15, colour.stroke_width(6)));
            chart.draw_series(rings)?;
        }
        // A line of one point is none.
        Style::Line | Style::Dashed if line.points.len() == 1 => {
            chart.draw_series(line.points.iter().map(|&at| dot(at, 11, colour.filled())))?;
        }
        Style::Line | Style::Dashed => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Unit;

    fn plain() -> (Axis, Axis) {
        (Axis::new("time", Unit::Seconds), Axis::new("latency", Unit::Micros).log())
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let (x, y) = plain();
        let name = "<script>alert(\"1\")</script>&'";
        let svg = curve(name, &x, &y, &[Series::line(name, vec![(0.0, 1.0), (1.0, 2.0)])]);
        assert!(!svg.contains("<script"), "{svg}");
        assert!(svg.contains("&lt;script&gt;"), "{svg}");
    }

    #[test]
    fn any_points_can_be_drawn() {
        let (x, y) = plain();
        let odd = [f64::NAN, f64::INFINITY, -1.0, 0.0, 1e-300, 1.0, 1e300];
        let points: Vec<_> = odd.iter().flat_map(|&a| odd.map(|b| (a, b))).collect();
        let single = vec![(3.0, 7.0)];
        let nines = Axis::new("percentile", Unit::Share).nines();
        for x in [x.clone(), x.log(), nines] {
            for y in [y.clone(), Axis::new("cores", Unit::Cores).from_zero()] {
                for points in [&points, &single, &Vec::new()] {
                    for style in [Style::Line, Style::Dotted, Style::Dashed, Style::Rings] {
                        let series = Series { style, ..Series::line("a", points.clone()) };
                        let svg = curve("title", &x, &y, &[series]);
                        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
                        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_measured_is_said() {
        let (x, y) = plain();
        assert!(curve("", &x, &y, &[]).contains("nothing was measured"));
    }

    #[test]
    fn many_labels_make_room_for_themselves() {
        let (x, y) = plain();
        let series: Vec<_> = (0..40)
            .map(|n| Series::line(format!("run {n}"), vec![(0.0, 5.0), (1.0, 5.0)]))
            .collect();
        let svg = curve("", &x, &y, &series);
        for n in 0..40 {
            assert!(svg.contains(&format!("run {n}\n")), "label {n} is missing");
        }
    }
}

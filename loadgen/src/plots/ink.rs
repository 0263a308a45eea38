//! Colours, type and the style sheet of a drawing.

use maud::html;
use plotters::style::{FontDesc, FontFamily, FontStyle, RGBColor, TextStyle};

/// The library draws on whole numbers: this many of them are a CSS pixel, so that curves are smooth.
pub(super) const SCALE: u32 = 4;

/// CSS pixels in the library's numbers.
pub(super) fn units(pixels: i32) -> i32 {
    pixels * SCALE as i32
}

/// Titles: strong on white, and still readable on black, where a page does not say that it is dark.
pub(super) const INK: RGBColor = RGBColor(0x5b, 0x66, 0x73);
/// Ticks and labels of axes, likewise.
pub(super) const MUTED: RGBColor = RGBColor(0x73, 0x7c, 0x88);
/// Lines of the grid, drawn with little opacity.
pub(super) const GRID: RGBColor = RGBColor(0x8b, 0x94, 0x9e);

/// Each as it is on light, and as it is on dark. Neighbours differ in lightness as well as in hue,
/// for those who see fewer hues.
const PALETTE: [(RGBColor, &str); 8] = [
    (RGBColor(0x2b, 0x6c, 0xd4), "#6ea8fe"),
    (RGBColor(0xe0, 0x7a, 0x1f), "#ffa657"),
    (RGBColor(0x12, 0x8c, 0x7e), "#4fd1b8"),
    (RGBColor(0xc2, 0x3b, 0x72), "#ff7eb6"),
    (RGBColor(0x7a, 0x5a, 0xc8), "#b69cff"),
    (RGBColor(0x9a, 0x82, 0x10), "#e0c341"),
    (RGBColor(0x4a, 0x9c, 0x2e), "#86d66b"),
    (RGBColor(0x6b, 0x72, 0x80), "#aab4c0"),
];

const FONTS: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";

/// One of the palette; it begins again after the last.
pub(super) fn colour(n: usize) -> RGBColor {
    PALETTE[n % PALETTE.len()].0
}

/// Type of a size in CSS pixels.
pub(super) fn text(size: i32, colour: RGBColor, bold: bool) -> TextStyle<'static> {
    // The library divides by 1.24 what it writes as the font's size.
    let size = f64::from(units(size)) * 1.24;
    let style = if bold { FontStyle::Bold } else { FontStyle::Normal };
    FontDesc::new(FontFamily::Name(FONTS), size, style).color(&colour)
}

fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// The colours for dark pages. Rules win over the attributes that the library writes.
fn sheet() -> String {
    let mut dark = String::new();
    let plain = [(INK, "#e6edf3"), (MUTED, "#9aa4b0")];
    for (light, other) in plain.iter().chain(&PALETTE) {
        let light = hex(*light);
        dark += &format!(
            ".tp [stroke=\"{light}\"]{{stroke:{other}}}.tp [fill=\"{light}\"]{{fill:{other}}}"
        );
    }
    format!(
        ".tp polyline{{stroke-linejoin:round;stroke-linecap:round}}\
         .tp text{{font-variant-numeric:tabular-nums}}\
         @media (prefers-color-scheme:dark){{{dark}}}"
    )
}

/// Gives the drawing its size in CSS pixels, a name for those who do not see it, and its colours.
pub(super) fn dress(svg: &str, title: &str, height: u32) -> String {
    let (width, scale) = (super::WIDTH, SCALE);
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    // No character of the sheet means anything in markup, quotes in an element's text included.
    let head = html! { svg class="tp" xmlns="http://www.w3.org/2000/svg" width=(width) height=(height)
    viewBox={ "0 0 " (width * scale) " " (height * scale) } role="img" aria-label=(title) {} };
    let head = head.into_string();
    let head = head.strip_suffix("</svg>").unwrap_or(&head);
    format!("{head}<style>{}</style>{body}", sheet())
}

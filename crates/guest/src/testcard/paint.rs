//! Draws a scene. Everything goes through a clip, so that a change costs its own area and nothing else; drawing all of
//! it again over itself gives the same pixels.

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Point, Size as Extent};
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_8X13, FONT_9X15, FONT_9X15_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{DrawTargetExt, PointsIter, Primitive};
use embedded_graphics::primitives::{Circle, Line, PrimitiveStyle, PrimitiveStyleBuilder, Rectangle, RoundedRectangle};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use embedded_graphics::{Drawable, Pixel};
use rdpmux_model::Size;

use super::keys;
use super::scene::{MARKER, Scene};

const DESKTOP: Rgb888 = Rgb888::new(0x2B, 0x5B, 0x84);
const BAR: Rgb888 = Rgb888::new(0x16, 0x2B, 0x41);
const PAPER: Rgb888 = Rgb888::new(0xFB, 0xFB, 0xF8);
const INK: Rgb888 = Rgb888::new(0x1A, 0x1D, 0x21);
const FAINT: Rgb888 = Rgb888::new(0x5F, 0x68, 0x72);
const LINE: Rgb888 = Rgb888::new(0xC9, 0xCF, 0xD6);
const HEAD: Rgb888 = Rgb888::new(0xE4, 0xE9, 0xEE);
const ACCENT: Rgb888 = Rgb888::new(0x0F, 0x7B, 0xD8);
const SKY: Rgb888 = Rgb888::new(0xA9, 0xC7, 0xE2);

const BAR_HEIGHT: u32 = 40;
const HEAD_HEIGHT: u32 = 28;
const GAP: u32 = 16;

const ABOUT: &[&str] = &[
    "This is the built-in guest of rdpmux. It is drawn by the server itself, without a hypervisor, so that every path \
     from your keyboard to your screen can be tried.",
    "F2  stops and starts the motion\nF3  changes the size of the screen\nF4  changes the pointer",
    "Type, click and turn the wheel: the window beside this one shows what arrived. Several viewers may look at once \
     and all of them see the same picture.",
    "The quick brown fox jumps over the lazy dog. 0123456789 Il1| O0Q {}[]()<> \"quoted\" 'text' #!$%&*+-=~^_",
];

/// Where the windows are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    about: Rectangle,
    /// The window that echoes input.
    pub(super) echo: Rectangle,
    colors: Rectangle,
    /// The window in which something moves.
    pub(super) motion: Rectangle,
}

impl Layout {
    pub(super) fn of(size: Size) -> Self {
        let left = (size.width - 3 * GAP) / 2;
        let right = size.width - 3 * GAP - left;
        let top = BAR_HEIGHT + GAP;
        let upper = (size.height - top - 2 * GAP) * 58 / 100;
        let lower = size.height - top - 2 * GAP - upper;
        let window = |column: u32, row: u32| {
            let x = if column == 0 { GAP } else { 2 * GAP + left };
            let y = if row == 0 { top } else { top + upper + GAP };
            let width = if column == 0 { left } else { right };
            rectangle(x as i32, y as i32, width, if row == 0 { upper } else { lower })
        };
        Self {
            about: window(0, 0),
            echo: window(1, 0),
            colors: window(0, 1),
            motion: window(1, 1),
        }
    }
}

/// Draws the part of `scene` that lies inside `area`.
pub(super) fn paint<D: DrawTarget<Color = Rgb888>>(target: &mut D, scene: &Scene, area: Rectangle) {
    let mut clip = target.clipped(&area);
    // Drawing on a clipped frame cannot fail for a reason that anybody could act on: the canvas takes every pixel.
    let _ = paint_all(&mut clip, scene, area);
}

fn paint_all<D: DrawTarget<Color = Rgb888>>(target: &mut D, scene: &Scene, area: Rectangle) -> Result<(), D::Error> {
    let layout = Layout::of(scene.size());
    let wanted = |window: &Rectangle| !window.intersection(&area).is_zero_sized();
    let size = scene.size();
    target.fill_solid(&rectangle(0, 0, size.width, size.height), DESKTOP)?;
    let bar = rectangle(0, 0, size.width, BAR_HEIGHT);
    if wanted(&bar) {
        title_bar(target, scene, bar)?;
    }
    if wanted(&layout.about) {
        let inside = window(target, layout.about, "About this screen")?;
        about(target, inside)?;
    }
    if wanted(&layout.echo) {
        let inside = window(target, layout.echo, "What you do")?;
        echo(target, scene, inside)?;
    }
    if wanted(&layout.colors) {
        let inside = window(target, layout.colors, "Colours")?;
        colors(target, inside)?;
    }
    if wanted(&layout.motion) {
        let inside = window(target, layout.motion, "Motion")?;
        motion(target, scene, inside)?;
    }
    marker(target, scene)
}

fn title_bar<D: DrawTarget<Color = Rgb888>>(target: &mut D, scene: &Scene, bar: Rectangle) -> Result<(), D::Error> {
    target.fill_solid(&bar, BAR)?;
    target.fill_solid(&rectangle(0, BAR_HEIGHT as i32 - 2, bar.size.width, 2), ACCENT)?;
    let size = scene.size();
    put(target, &FONT_10X20, Rgb888::WHITE, Point::new(16, 9), &scene.title)?;
    let right = format!("rdpmux test card   {size}");
    put_right(target, &FONT_9X15, SKY, Point::new(size.width as i32 - 16, 12), &right)
}

/// A window with a title; returns the inside.
fn window<D: DrawTarget<Color = Rgb888>>(target: &mut D, area: Rectangle, title: &str) -> Result<Rectangle, D::Error> {
    target.fill_solid(&area, PAPER)?;
    let head = rectangle(area.top_left.x, area.top_left.y, area.size.width, HEAD_HEIGHT);
    target.fill_solid(&head, HEAD)?;
    let style = PrimitiveStyle::with_stroke(LINE, 1);
    area.into_styled(style).draw(target)?;
    head.into_styled(style).draw(target)?;
    put(target, &FONT_9X15_BOLD, INK, area.top_left + Point::new(12, 7), title)?;
    let inset = 12;
    Ok(rectangle(
        area.top_left.x + inset,
        area.top_left.y + HEAD_HEIGHT as i32 + inset,
        area.size.width.saturating_sub(2 * inset as u32),
        area.size.height.saturating_sub(HEAD_HEIGHT + 2 * inset as u32),
    ))
}

fn about<D: DrawTarget<Color = Rgb888>>(target: &mut D, inside: Rectangle) -> Result<(), D::Error> {
    let font = if inside.size.width >= 440 {
        &FONT_9X15
    } else {
        &FONT_8X13
    };
    let columns = (inside.size.width / font.character_size.width) as usize;
    let leading = font.character_size.height as i32 + 3;
    let mut at = inside.top_left;
    let mut clip = target.clipped(&inside);
    for paragraph in ABOUT {
        for line in paragraph.split('\n').flat_map(|part| wrap(part, columns)) {
            put(&mut clip, font, INK, at, line)?;
            at.y += leading;
        }
        at.y += leading / 2;
    }
    Ok(())
}

/// Lines of at most `columns` characters, broken at blanks.
fn wrap(text: &str, columns: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while rest.len() > columns {
        let cut = rest[..=columns].rfind(' ').filter(|cut| *cut > 0).unwrap_or(columns);
        lines.push(&rest[..cut]);
        rest = rest[cut..].trim_start_matches(' ');
    }
    lines.push(rest);
    lines
}

fn echo<D: DrawTarget<Color = Rgb888>>(target: &mut D, scene: &Scene, inside: Rectangle) -> Result<(), D::Error> {
    let target = &mut target.clipped(&inside);
    let mut at = inside.top_left;
    let field = rectangle(at.x, at.y, inside.size.width, 74);
    typed_field(target, scene, field, (inside.size.width / 10) as usize)?;
    at.y += 84;
    let (font, step) = if inside.size.height < 230 {
        (&FONT_6X10, 12)
    } else {
        (&FONT_9X15, 20)
    };
    let indent = 8 * font.character_size.width;
    let columns = inside.size.width.saturating_sub(indent) / font.character_size.width;
    for (label, value) in echo_rows(scene, columns as usize) {
        put(target, font, FAINT, at, label)?;
        put(target, font, INK, at + Point::new(indent as i32, 0), &value)?;
        at.y += step;
    }
    let room = inside.top_left.y + inside.size.height as i32 - at.y;
    if room < 28 {
        return Ok(());
    }
    buttons(target, scene, at + Point::new(0, 4))
}

/// What arrived, as label and text of at most `columns` characters or so.
fn echo_rows(scene: &Scene, columns: usize) -> [(&'static str, String); 7] {
    let recent = scene.recent.iter().rev().cloned().collect::<Vec<_>>();
    let held = scene.held.iter().rev().map(|key| keys::name(*key)).collect::<Vec<_>>();
    let position = scene.position.map_or("-".to_owned(), |(x, y)| format!("{x}, {y}"));
    let [vertical, horizontal] = scene.wheel.map(|turn| f64::from(turn) / 120.0);
    let [key_down, key_up, button_down, button_up] = scene.edges;
    [
        ("Keys", fit(&recent, "  ", columns)),
        ("Held", fit(&held, " + ", columns)),
        (
            "Edges",
            format!("keys {key_down}/{key_up}  buttons {button_down}/{button_up}"),
        ),
        ("Locks", locks(scene)),
        ("Wheel", format!("{vertical:+.2} up  {horizontal:+.2} right")),
        ("Shape", scene.pointer().name().to_owned()),
        ("At", position),
    ]
}

/// The typed lines, black on white, in a fixed place: easy to read for people and for tests.
fn typed_field<D: DrawTarget<Color = Rgb888>>(
    target: &mut D,
    scene: &Scene,
    field: Rectangle,
    columns: usize,
) -> Result<(), D::Error> {
    let style = PrimitiveStyleBuilder::new()
        .fill_color(Rgb888::WHITE)
        .stroke_color(ACCENT)
        .stroke_width(1)
        .build();
    field.into_styled(style).draw(target)?;
    let mut at = field.top_left + Point::new(6, 6);
    let shown = columns.saturating_sub(3);
    for (index, line) in scene.typed.iter().enumerate() {
        let text = &line[line.len().saturating_sub(shown)..];
        put(target, &FONT_10X20, Rgb888::BLACK, at, text)?;
        if index + 1 == scene.typed.len() {
            let caret = rectangle(at.x + 10 * text.len() as i32, at.y + 2, 2, 17);
            target.fill_solid(&caret, ACCENT)?;
        }
        at.y += 21;
    }
    Ok(())
}

fn locks(scene: &Scene) -> String {
    let locks = scene.locks();
    let word = |on: bool, name: &'static str| on.then_some(name);
    let lit = [
        word(locks.caps, "Caps"),
        word(locks.num, "Num"),
        word(locks.scroll, "Scroll"),
    ];
    let lit = lit.into_iter().flatten().collect::<Vec<_>>();
    if lit.is_empty() {
        "none".to_owned()
    } else {
        lit.join("  ")
    }
}

fn buttons<D: DrawTarget<Color = Rgb888>>(target: &mut D, scene: &Scene, at: Point) -> Result<(), D::Error> {
    let names = ["Left", "Middle", "Right", "Back", "Fwd"];
    let mut x = at.x;
    for (name, down) in names.iter().zip(scene.buttons) {
        let width = 9 * name.len() as u32 + 18;
        let (fill, text) = if down { (ACCENT, Rgb888::WHITE) } else { (HEAD, FAINT) };
        let style = PrimitiveStyleBuilder::new()
            .fill_color(fill)
            .stroke_color(LINE)
            .stroke_width(1)
            .build();
        let shape = RoundedRectangle::with_equal_corners(rectangle(x, at.y, width, 24), Extent::new(5, 5));
        shape.into_styled(style).draw(target)?;
        put(target, &FONT_9X15, text, Point::new(x + 9, at.y + 5), name)?;
        x += width as i32 + 6;
    }
    Ok(())
}

/// As many of `parts` as fit into `columns`, first ones first.
fn fit(parts: &[String], between: &str, columns: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let more = if line.is_empty() { 0 } else { between.len() } + part.len();
        if line.len() + more > columns {
            break;
        }
        if !line.is_empty() {
            line.push_str(between);
        }
        line.push_str(part);
    }
    if line.is_empty() { "-".to_owned() } else { line }
}

fn colors<D: DrawTarget<Color = Rgb888>>(target: &mut D, inside: Rectangle) -> Result<(), D::Error> {
    let bars = [
        0xC0C0C0,
        0xC0C000,
        0x00C0C0,
        0x00C000,
        0xC000C0,
        0xC00000,
        0x0000C0,
        0x101010_u32,
    ];
    let (width, height) = (inside.size.width, inside.size.height);
    let half = height / 2;
    for (i, color) in bars.into_iter().enumerate() {
        let [_, r, g, b] = color.to_be_bytes();
        let (from, to) = (width * i as u32 / 8, width * (i as u32 + 1) / 8);
        let bar = rectangle(inside.top_left.x + from as i32, inside.top_left.y, to - from, half);
        target.fill_solid(&bar, Rgb888::new(r, g, b))?;
    }
    let below = inside.top_left + Point::new(0, half as i32 + 8);
    let ramp = Rectangle::new(below, Extent::new(width, height.saturating_sub(half + 8) * 2 / 5));
    gradient(target, ramp, |x, _| Rgb888::new(x, x, x))?;
    let rest = height.saturating_sub(half + 8 + ramp.size.height + 8);
    let blend = Rectangle::new(
        below + Point::new(0, ramp.size.height as i32 + 8),
        Extent::new(width, rest),
    );
    gradient(target, blend, |x, y| Rgb888::new(x, y, 255 - x / 2 - y / 4))
}

/// Fills `area`; the colour comes from how far right and down a pixel is, each as 0 to 255.
fn gradient<D: DrawTarget<Color = Rgb888>>(
    target: &mut D,
    area: Rectangle,
    color: impl Fn(u8, u8) -> Rgb888,
) -> Result<(), D::Error> {
    let clip = area.intersection(&target.bounding_box());
    let share = |at: i32, from: i32, length: u32| ((at - from) as u32 * 255 / length.saturating_sub(1).max(1)) as u8;
    let colors = clip.points().map(|p| {
        let x = share(p.x, area.top_left.x, area.size.width);
        color(x, share(p.y, area.top_left.y, area.size.height))
    });
    target.fill_contiguous(&clip, colors)
}

fn motion<D: DrawTarget<Color = Rgb888>>(target: &mut D, scene: &Scene, inside: Rectangle) -> Result<(), D::Error> {
    let seconds = scene.tenths / 10;
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    put(target, &FONT_10X20, INK, inside.top_left, &clock)?;
    let right = inside.top_left + Point::new(inside.size.width as i32, 0);
    let count = if scene.moving {
        format!("frame {:06}", scene.frame)
    } else {
        "still (F2)".to_owned()
    };
    put_right(target, &FONT_10X20, FAINT, right, &count)?;
    let field = rectangle(
        inside.top_left.x,
        inside.top_left.y + 28,
        inside.size.width,
        inside.size.height.saturating_sub(28),
    );
    target.fill_solid(&field, Rgb888::new(0x0E, 0x1A, 0x26))?;
    let mut clip = target.clipped(&field);
    for x in (0..field.size.width as i32).step_by(32) {
        let top = field.top_left + Point::new(x, 0);
        let end = top + Point::new(0, field.size.height as i32);
        Line::new(top, end)
            .into_styled(PrimitiveStyle::with_stroke(Rgb888::new(0x1B, 0x2D, 0x3F), 1))
            .draw(&mut clip)?;
    }
    let edge = 40;
    let x = bounce(scene.tenths.wrapping_mul(7), field.size.width.saturating_sub(edge));
    let y = bounce(scene.tenths.wrapping_mul(4), field.size.height.saturating_sub(edge));
    let corner = field.top_left + Point::new(x, y);
    Circle::new(corner, edge)
        .into_styled(PrimitiveStyle::with_fill(Rgb888::new(0xF2, 0x9E, 0x38)))
        .draw(&mut clip)?;
    Circle::new(corner + Point::new(9, 8), edge / 4)
        .into_styled(PrimitiveStyle::with_fill(Rgb888::new(0xFF, 0xE3, 0xB8)))
        .draw(&mut clip)
}

/// A position that goes up to `limit` and back as `way` grows.
fn bounce(way: u32, limit: u32) -> i32 {
    let limit = limit.max(1);
    let at = way % (2 * limit);
    at.min(2 * limit - at) as i32
}

/// A ring with a cross at the pointer's position, so that a client's own pointer can be checked against it.
fn marker<D: DrawTarget<Color = Rgb888>>(target: &mut D, scene: &Scene) -> Result<(), D::Error> {
    let Some((x, y)) = scene.position else {
        return Ok(());
    };
    let center = Point::new(x as i32, y as i32);
    let color = if scene.buttons.contains(&true) {
        Rgb888::RED
    } else {
        Rgb888::new(0xE0, 0x20, 0xA0)
    };
    Circle::with_center(center, 2 * MARKER as u32 - 3)
        .into_styled(PrimitiveStyle::with_stroke(color, 2))
        .draw(target)?;
    let arm = 5;
    let across = (-arm..=arm).flat_map(|d| [Point::new(d, 0), Point::new(0, d)]);
    target.draw_iter(across.map(|d| Pixel(center + d, color)))
}

fn put<D: DrawTarget<Color = Rgb888>>(
    target: &mut D,
    font: &MonoFont<'_>,
    color: Rgb888,
    at: Point,
    text: &str,
) -> Result<(), D::Error> {
    let style = MonoTextStyle::new(font, color);
    Text::with_baseline(text, at, style, Baseline::Top).draw(target)?;
    Ok(())
}

fn put_right<D: DrawTarget<Color = Rgb888>>(
    target: &mut D,
    font: &MonoFont<'_>,
    color: Rgb888,
    at: Point,
    text: &str,
) -> Result<(), D::Error> {
    let style = MonoTextStyle::new(font, color);
    let right = TextStyleBuilder::new()
        .alignment(Alignment::Right)
        .baseline(Baseline::Top)
        .build();
    Text::with_text_style(text, at, style, right).draw(target)?;
    Ok(())
}

fn rectangle(x: i32, y: i32, width: u32, height: u32) -> Rectangle {
    Rectangle::new(Point::new(x, y), Extent::new(width, height))
}

//! A region that behaves like video goes as H.264, is decoded by a foreign decoder, and becomes exact when it rests.

use openh264::decoder::{DecodedYUV, Decoder};
use openh264::formats::YUVSource as _;
use rdpmux_engine::{
    ClientView, Pipeline, Profile, SliceRows, SurfaceReader, SurfaceWriter, VideoForm, VideoProfile, surface,
};
use rdpmux_model::{Client, EncodedFrame, FrameCommand, PixelFormat, Point, Rect, Size, VideoStream};

use crate::painter::Painter;
use crate::pictures;

const SIZE: Size = Size::new(1280, 720);
/// Where the film runs: not on tiles, odd, and with a flat sky.
const FILM: Rect<Client> = Rect::new(201, 75, 640, 361);

struct Cinema {
    writer: SurfaceWriter,
    reader: SurfaceReader,
    view: ClientView,
    painter: Painter,
    decoder: Option<(Rect<Client>, Decoder)>,
    profile: Profile,
    photo: Vec<u8>,
    picture: Vec<u8>,
    /// Bytes of video pictures and of all other pixels so far, roughly.
    video: usize,
    others: usize,
    keys: usize,
    /// Bytes of the last auxiliary picture, which also count as video.
    auxiliary: usize,
    /// The film has stripes in saturated colours.
    has_stripes: bool,
}

/// Y, Cb and Cr of every pixel, in rows of `width`.
struct Full {
    width: usize,
    planes: [Vec<u8>; 3],
}

impl Full {
    /// A main picture: its chroma holds for 2 × 2 pixels each.
    fn of(picture: &DecodedYUV<'_>) -> Self {
        let ((width, height), (stride, half, _)) = (picture.dimensions(), picture.strides());
        let pixels = (0..width * height).map(|i| (i % width, i / width));
        let luma = pixels.clone().map(|(x, y)| picture.y()[y * stride + x]).collect();
        let chroma = |plane: &[u8]| {
            let sample = |(x, y): (usize, usize)| plane[y / 2 * half + x / 2];
            pixels.clone().map(sample).collect()
        };
        let planes = [luma, chroma(picture.u()), chroma(picture.v())];
        Self { width, planes }
    }

    /// The chroma of an auxiliary picture (AVC444v2).
    fn add(&mut self, picture: &DecodedYUV<'_>) {
        let ((width, height), (stride, chroma, _)) = (picture.dimensions(), picture.strides());
        for (plane, (luma_from, chroma_from)) in [(1, (0, 0)), (2, (width / 2, width / 4))] {
            for y in 0..height {
                let row = &mut self.planes[plane][y * self.width..][..width];
                for x in (1..width).step_by(2) {
                    row[x] = picture.y()[y * stride + luma_from + x / 2];
                }
                for x in (0..width).step_by(2).filter(|_| y % 2 == 1) {
                    let from = if x % 4 == 0 { picture.u() } else { picture.v() };
                    row[x] = from[y / 2 * chroma + chroma_from + x / 4];
                }
            }
        }
        // The main picture has the average of four samples, of which three are known now.
        for plane in 1..3 {
            for at in (0..height)
                .step_by(2)
                .flat_map(|y| (0..width).step_by(2).map(move |x| (x, y)))
            {
                let at = at.1 * self.width + at.0;
                let samples = &mut self.planes[plane];
                let others = [at + 1, at + self.width, at + self.width + 1].map(|at| i32::from(samples[at]));
                let first = i32::from(samples[at]) * 4 - others.iter().sum::<i32>();
                samples[at] = first.clamp(0, 255) as u8;
            }
        }
    }
}

impl Cinema {
    fn new(room: usize) -> Self {
        let (writer, reader) = surface(SIZE);
        let video = VideoProfile {
            form: VideoForm::Avc420,
            room,
        };
        let profile = Profile {
            video: Some(video),
            ..Profile::new(Pipeline::Egfx { progressive: true })
        };
        let mut cinema = Self {
            writer,
            reader,
            view: ClientView::new(),
            painter: Painter::new(SIZE),
            decoder: None,
            profile,
            photo: pictures::photo(SIZE),
            picture: pictures::text(SIZE, 0),
            video: 0,
            others: 0,
            keys: 0,
            auxiliary: 0,
            has_stripes: false,
        };
        cinema.commit(SIZE.rect());
        cinema.follow();
        cinema
    }

    fn commit(&mut self, rect: Rect<Client>) {
        let stride = SIZE.width as usize * 4;
        let rows = SliceRows::new(&self.picture, SIZE, stride, PixelFormat::Bgrx32).expect("a picture");
        self.writer.commit(&[rect.cast()], &rows, Point::new(0, 0));
    }

    fn follow(&mut self) {
        if let Some(job) = self.view.take_job(&self.reader, &self.profile) {
            let frame = job.encode();
            self.paint(&frame);
        }
    }

    fn paint(&mut self, frame: &EncodedFrame) {
        (self.video, self.others) = (0, 0);
        let (videos, others): (Vec<_>, Vec<_>) = frame
            .commands
            .iter()
            .cloned()
            .partition(|c| matches!(c, FrameCommand::Video { .. }));
        self.painter.paint(&EncodedFrame {
            commands: others.clone(),
            ..frame.clone()
        });
        for command in others.iter().chain(&videos) {
            match command {
                FrameCommand::Video { rect, regions, stream } => {
                    let regions: Vec<_> = regions.iter().map(|region| region.rect).collect();
                    self.play(*rect, &regions, stream);
                }
                FrameCommand::Rfx { tiles, .. } => {
                    self.others += tiles.iter().flat_map(|t| &t.planes).map(|p| p.len()).sum::<usize>();
                }
                FrameCommand::Tile { rect, .. } | FrameCommand::Clear { rect, .. } => {
                    self.others += (rect.width * rect.height * 4) as usize;
                }
                _ => {}
            }
        }
    }

    /// What a client does: a decoder for each rectangle, of which the regions are shown.
    fn play(&mut self, rect: Rect<Client>, regions: &[Rect<Client>], stream: &VideoStream) {
        let (main, auxiliary) = match stream {
            VideoStream::Avc420(data) => (data, None),
            VideoStream::Avc444 { main, auxiliary } => (main.as_ref().expect("a main picture"), auxiliary.as_ref()),
        };
        self.auxiliary = auxiliary.map_or(0, |data| data.len());
        self.video = main.len() + self.auxiliary;
        if self.decoder.as_ref().is_none_or(|(known, _)| *known != rect) {
            self.decoder = Some((rect, Decoder::new().expect("a decoder")));
            self.keys += 1;
        }
        let (_, decoder) = self.decoder.as_mut().expect("just made");
        let mut full = Full::of(&decoder.decode(main).expect("valid").expect("a picture at once"));
        if let Some(data) = auxiliary {
            full.add(&decoder.decode(data).expect("valid").expect("a picture at once"));
        }
        for region in regions {
            assert_eq!(region.intersect(rect), *region);
            for (y, x) in (region.y..region.bottom()).flat_map(|y| (region.x..region.right()).map(move |x| (y, x))) {
                let from = (y - rect.y) as usize * full.width + (x - rect.x) as usize;
                let [luma, u, v] = full.planes.each_ref().map(|plane| f32::from(plane[from]));
                let (u, v) = (u - 128.0, v - 128.0);
                let at = (y * SIZE.width + x) as usize * 4;
                let bgr = [luma + 1.8556 * u, luma - 0.1873 * u - 0.4681 * v, luma + 1.5748 * v];
                self.painter.pixels[at..at + 3].copy_from_slice(&bgr.map(|c| c.round() as u8));
            }
        }
    }

    /// One picture of the film: a pan over the photo with film grain, under a flat sky.
    fn film(&mut self, time: u32) {
        let mut noise = pictures::Noise(u64::from(time) + 1);
        for y in 0..FILM.height {
            for x in 0..FILM.width {
                let at = ((y + FILM.y) * SIZE.width + x + FILM.x) as usize * 4;
                let from = (y * SIZE.width + x + time * 3 % 600) as usize * 4;
                let sky = [200, 120, (time % 50) as u8];
                let grain = noise.below(5) as u8;
                let pixel: [u8; 3] = self.photo[from..from + 3].try_into().expect("three");
                let pixel = pixel.map(|c| c.saturating_add(grain));
                let stripe = [[0, 0, 255], [255, 0, 0], [0, 200, 0]][((x + time * 2) / 3 % 3) as usize];
                let is_striped = self.has_stripes && y % 40 < 9 && y > 60 && x > 200;
                let pixel = if is_striped { stripe } else { pixel };
                self.picture[at..at + 3].copy_from_slice(if y < 60 { &sky } else { &pixel });
            }
        }
        self.commit(FILM);
    }

    /// `seconds` at 30 pictures per second, with a tick every 150 ms.
    fn run(&mut self, from: u32, pictures: u32) {
        for time in from..from + pictures {
            if time % 5 == 0 {
                self.view.tick_rest(&self.reader);
            }
            self.film(time);
            self.follow();
        }
    }

    fn psnr(&self) -> f64 {
        let differences = self
            .painter
            .pixels
            .iter()
            .zip(&self.picture)
            .map(|(a, b)| f64::from(*a) - f64::from(*b));
        let sum: f64 = differences.map(|d| d * d).sum();
        10.0 * (255.0 * 255.0 / (sum / (FILM.width * FILM.height * 3) as f64)).log10()
    }

    fn rest(&mut self) {
        self.view.tick_rest(&self.reader);
        self.view.tick_rest(&self.reader);
        while let Some(job) = self.view.take_refinement(&self.reader, &self.profile) {
            let frame = job.encode();
            self.paint(&frame);
        }
    }
}

#[test]
fn a_film_becomes_one_stream_of_few_bytes_and_exact_when_it_stops() {
    let mut cinema = Cinema::new(usize::MAX);
    cinema.run(0, 10);
    assert!(
        cinema.video == 0 && cinema.others > 20_000,
        "tiles at first: {}",
        cinema.others
    );
    cinema.run(10, 50);
    assert_eq!(cinema.keys, 1, "one stream");
    let (video, others) = (cinema.video, cinema.others);
    assert!(
        video > 0 && video < 40_000 && others == 0,
        "{video} bytes of video, {others} others"
    );
    assert!(cinema.psnr() > 35.0, "{:.1} dB", cinema.psnr());
    let (known, _) = cinema.decoder.as_ref().expect("a video");
    assert!(known.intersect(FILM) == FILM && known.width < FILM.width + 32 && known.height < FILM.height + 16);
    cinema.rest();
    assert!(cinema.painter.pixels == cinema.picture && !cinema.view.needs_refinement());
}

#[test]
fn what_changes_once_where_a_film_was_is_no_video() {
    let mut cinema = Cinema::new(usize::MAX);
    cinema.run(0, 60);
    assert!(cinema.video > 0);
    cinema.rest();
    let text = pictures::text(SIZE, 0);
    let line: Rect<Client> = Rect::new(300, 200, 90, 20);
    for y in line.y..line.bottom() {
        let row = (y * SIZE.width + line.x) as usize * 4..(y * SIZE.width + line.right()) as usize * 4;
        cinema.picture[row.clone()].copy_from_slice(&text[row]);
    }
    cinema.commit(line);
    cinema.follow();
    assert!(cinema.video == 0 && cinema.others > 0);
    cinema.rest();
    assert!(cinema.painter.pixels == cinema.picture);
}

#[test]
fn a_window_dragged_over_a_photograph_is_no_film() {
    let mut cinema = Cinema::new(usize::MAX);
    cinema.picture = cinema.photo.clone();
    cinema.commit(SIZE.rect());
    cinema.follow();
    let window = pictures::text(SIZE, 0);
    for time in 0..60 {
        if time % 5 == 0 {
            cinema.view.tick_rest(&cinema.reader);
        }
        cinema.picture = cinema.photo.clone();
        for y in 0..300 {
            let from = y * SIZE.width as usize * 4;
            let to = ((y + 60 + time * 2) * SIZE.width as usize + 80 + time * 7) * 4;
            cinema.picture[to..to + 400 * 4].copy_from_slice(&window[from..from + 400 * 4]);
        }
        cinema.commit(SIZE.rect());
        cinema.follow();
        assert_eq!(cinema.video, 0, "at {time}");
    }
    cinema.rest();
    assert!(cinema.painter.pixels == cinema.picture);
}

#[test]
fn an_echo_beside_a_film_goes_before_the_next_picture_and_holds_up_only_one() {
    let mut cinema = Cinema::new(usize::MAX);
    cinema.run(0, 60);
    assert!(cinema.video > 0);
    let line: Rect<Client> = Rect::new(20, 20, 90, 20);
    let typed = |cinema: &mut Cinema, from_row: u32| {
        let text = pictures::text(SIZE, 0);
        for y in line.y..line.bottom() {
            let row = |y: u32| (y * SIZE.width + line.x) as usize * 4..(y * SIZE.width + line.right()) as usize * 4;
            cinema.picture[row(y)].copy_from_slice(&text[row(y + from_row)]);
        }
        cinema.commit(line);
    };
    typed(&mut cinema, 205);
    cinema.film(60);
    cinema.follow();
    assert!(cinema.video == 0 && cinema.others > 0, "the echo alone");
    typed(&mut cinema, 333);
    cinema.film(61);
    cinema.follow();
    assert!(cinema.video > 0 && cinema.others > 0, "then both");
    cinema.follow();
    cinema.rest();
    assert!(cinema.painter.pixels == cinema.picture);
}

#[test]
fn a_film_on_a_slow_link_keeps_to_its_room() {
    let mut cinema = Cinema::new(3_000);
    // The budget for pixels would hold only a sixth of the film's tiles.
    cinema.profile.byte_budget = 256 << 10;
    cinema.run(0, 60);
    let mut bytes = 0;
    for time in 60..90 {
        cinema.run(time, 1);
        bytes += cinema.video;
        assert_eq!(cinema.others, 0, "the whole picture at once: {time}");
    }
    assert!(bytes < 30 * 4_000, "{bytes} bytes in 30 pictures");
}

/// PSNR and bytes of the last picture, and how many bytes of them are auxiliary.
fn striped(form: VideoForm, has_stripes: bool, room: usize) -> (f64, usize, usize) {
    let mut cinema = Cinema::new(room);
    cinema.profile.video = Some(VideoProfile { form, room });
    cinema.has_stripes = has_stripes;
    cinema.run(0, 60);
    let result = (cinema.psnr(), cinema.video, cinema.auxiliary);
    cinema.rest();
    assert!(cinema.painter.pixels == cinema.picture && cinema.keys == 1);
    result
}

#[test]
fn colours_that_420_would_lose_come_with_the_second_picture() {
    let (half, bytes, _) = striped(VideoForm::Avc420, true, usize::MAX);
    let (full, more, auxiliary) = striped(VideoForm::Avc444, true, usize::MAX);
    assert!(full > half + 6.0, "{full:.1} dB, {half:.1} dB as 4:2:0");
    assert!(auxiliary > 0 && more < bytes * 3, "{more} bytes, {bytes} as 4:2:0");
}

#[test]
fn a_soft_film_and_a_narrow_link_do_without_the_second_picture() {
    let (_, bytes, auxiliary) = striped(VideoForm::Avc444, false, usize::MAX);
    assert!(bytes > 0 && auxiliary == 0);
    let (_, bytes, auxiliary) = striped(VideoForm::Avc444, true, 3_000);
    assert!(bytes > 0 && auxiliary == 0);
}

#[test]
fn a_client_without_h264_gets_tiles() {
    let mut cinema = Cinema::new(usize::MAX);
    cinema.profile.video = None;
    cinema.run(0, 60);
    assert!(cinema.video == 0 && cinema.others > 20_000);
}

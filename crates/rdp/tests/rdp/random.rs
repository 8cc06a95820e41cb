//! Frames of any commands: each is written whole and read back, or refused without a trace in the client's history.

use std::sync::Arc;

use ironrdp_egfx::pdu::GfxPdu;
use rdpmux_model::{
    Client, Color, FrameCommand, Point, Rect, RfxQuant, RfxTile, Size, TilePayload, VideoRegion, VideoStream,
};

use crate::hostile::Random;
use crate::pipeline::{Tap, able, frame, pair};

/// Commands of any kind, the same in every run.
struct Commands(Random);

impl Commands {
    fn below(&mut self, limit: u32) -> u32 {
        (self.0.next() >> 20) as u32 % limit
    }

    /// Inside of 300 by 300 more often than not.
    fn rect(&mut self) -> Rect<Client> {
        let edge = if self.below(9) == 0 { 400 } else { 100 };
        Rect::new(self.below(200), self.below(200), self.below(edge), self.below(edge))
    }

    fn data(&mut self, rect: Rect<Client>) -> Arc<[u8]> {
        let short = usize::from(self.below(20) == 0);
        let length = rect.width as usize * rect.height as usize * 4;
        let shades = [self.below(256) as u8, self.below(256) as u8];
        (0..length.saturating_sub(short)).map(|i| shades[i / 7 % 2]).collect()
    }

    fn command(&mut self) -> FrameCommand {
        let rect = self.rect();
        let (slot, point) = (self.below(26_000) as u16, Point::new(self.below(220), self.below(220)));
        match self.below(9) {
            0 => FrameCommand::SolidFill {
                rect,
                color: Color { b: 1, g: 2, r: 3 },
            },
            1 => FrameCommand::Copy {
                source: rect,
                destination: point,
            },
            2 => FrameCommand::Tile {
                rect,
                payload: TilePayload::Uncompressed(self.data(rect)),
            },
            3 | 4 => FrameCommand::Clear {
                rect,
                pixels: self.data(rect),
            },
            5 => FrameCommand::CacheStore { rect, slot, key: 7 },
            6 => FrameCommand::CacheShow {
                slot,
                size: Size::new(rect.width, rect.height),
                at: vec![point; self.below(3) as usize],
            },
            7 => self.video(rect),
            _ => self.picture(rect),
        }
    }

    fn video(&mut self, rect: Rect<Client>) -> FrameCommand {
        let region = VideoRegion {
            rect: Rect::new(rect.x, rect.y, 1 + self.below(30), 1 + self.below(30)),
            quantizer: self.below(53) as u8,
            quality: 100,
        };
        let half = |some| (some != 0).then(|| Arc::from(*b"half"));
        FrameCommand::Video {
            rect,
            regions: vec![region; self.below(3) as usize],
            stream: VideoStream::Avc444 {
                main: half(self.below(3)),
                auxiliary: half(self.below(3)),
            },
        }
    }

    fn picture(&mut self, clip: Rect<Client>) -> FrameCommand {
        let plane: Arc<[u8]> = vec![0; self.below(90) as usize].into();
        FrameCommand::Rfx {
            clip: vec![clip],
            quant: RfxQuant([5 + self.below(8) as u8; 10]),
            tiles: vec![RfxTile {
                x: self.below(6) as u16,
                y: self.below(6) as u16,
                planes: [plane.clone(), plane.clone(), plane],
            }],
        }
    }
}

#[test]
fn frames_are_whole_or_nothing() {
    let mut random = Commands(Random::new(0x5EED_0003));
    let (_pair, mut writer) = pair(able());
    let (mut tap, mut written) = (Tap::new(), 0);
    for round in 0..3000 {
        let size = Size::new(300 + random.below(2), 300);
        let count = random.below(4) as usize;
        let commands = (0..count).map(|_| random.command()).collect();
        if random.below(50) == 0 {
            // Nothing of the old history may be asked for.
            writer = writer.fork().unwrap();
        }
        let Ok(compressed) = writer.compress(&[(0, &frame(size, commands))], round) else {
            continue;
        };
        let pdus = tap.read(&compressed.parts);
        let ends = matches!(pdus.last(), Some(GfxPdu::EndFrame(end)) if end.frame_id == compressed.id.0);
        assert!(ends, "round {round}");
        written += 1;
    }
    assert!(written > 1000, "{written}");
}

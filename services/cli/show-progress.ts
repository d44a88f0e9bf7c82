/** Shows a task while it runs: redrawn in place on a terminal, line by line anywhere else. */
import type { TaskDetail } from '@nexus/shared/client';
import { openLive } from './live.ts';
import { cut, painter, type Sink } from './output.ts';
import { changeLines, progressLines } from './progress.ts';
import { askedLines } from './waiting-lines.ts';

export type Progress = {
  show(task: TaskDetail, notes: ReadonlyMap<string, string>): void;
  /** One line that has to be seen, whatever the way. */
  say(line: string): void;
  /** Leaves the last picture on the terminal. */
  close(): void;
};

export type ProgressOptions = { sink: Sink; colour: boolean; redraw: boolean };

export const openProgress = ({ sink, colour, redraw }: ProgressOptions): Progress =>
  redraw ? drawn(sink, colour) : lined(sink);

/** Times go on between two looks, so the picture is drawn anew a few times a second. */
const redrawMs = 125;

const drawn = (sink: Sink, colour: boolean): Progress => {
  const live = openLive(sink);
  const paint = painter(colour);
  let last: { task: TaskDetail; notes: ReadonlyMap<string, string> } | null = null;
  let said: string[] = [];
  const draw = () => {
    const columns = (sink.columns || 80) - 1;
    // On two lines: the command at the end of a question is what it is shown for.
    const asked =
      last === null
        ? []
        : askedLines(null, last.task)
            .slice(0, askedMax)
            .flatMap((line) => inTwo(line, columns));
    const frame = { columns, rows: (sink.rows || 24) - said.length - asked.length, paint };
    const lines = last === null ? [] : progressLines({ ...last, now: Date.now() }, frame);
    live.draw([...said, ...lines, ...asked]);
  };
  const timer = setInterval(draw, redrawMs);
  return {
    show: (task, notes) => {
      last = { task, notes };
      draw();
    },
    say: (line) => {
      said = [...said, line].slice(-3);
      draw();
    },
    close: () => {
      clearInterval(timer);
      draw();
      live.leave();
    },
  };
};

/** More of them are among what `nexus task` shows. */
const askedMax = 3;

const inTwo = (line: string, columns: number): string[] => {
  const at = line.lastIndexOf('  ');
  return [cut(line.slice(0, at), columns), cut(`  ${line.slice(at + 2)}`, columns)];
};

const lined = (sink: Sink): Progress => {
  let before: TaskDetail | null = null;
  const say = (line: string) => sink.write(`${new Date().toISOString().slice(11, 19)} ${line}\n`);
  return {
    show: (task) => {
      for (const line of changeLines(before, task)) say(line);
      before = task;
    },
    say,
    close: () => {},
  };
};

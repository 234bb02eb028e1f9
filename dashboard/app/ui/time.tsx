/** Times in the reader's zone with UTC on hover, durations, and ages that update by themselves. */

import { useEffect, useState } from "react";
import { now } from "../api/clock";

const SECOND = 1000;
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

interface TimeProps {
  at: string;
  /** Show the time of day only, for lists with entries mostly of one day. */
  short?: boolean;
}

export function Time({ at, short = false }: TimeProps) {
  const instant = new Date(at);
  return (
    <time dateTime={at} title={`${instant.toISOString().replace("T", " ").slice(0, 19)} UTC`}>
      {(short ? CLOCK : LOCAL).format(instant)}
    </time>
  );
}

/** The time since an instant: "12 s ago". */
export function Age({ since }: { since: string }) {
  return <>{durationText(useNow() - Date.parse(since))} ago</>;
}

/** The time until an instant: "in 4 s". */
export function Until({ at }: { at: string }) {
  const left = Date.parse(at) - useNow();
  return <>{left > 0 ? `in ${durationText(left)}` : "now"}</>;
}

/** The duration of something, or its duration so far. */
export function Spent({ from, to }: { from: string; to: string | null | undefined }) {
  return to ? durationText(Date.parse(to) - Date.parse(from)) : <Running from={from} />;
}

function Running({ from }: { from: string }) {
  return <>{durationText(useNow() - Date.parse(from))}</>;
}

/** The server's time in milliseconds, updated every second. */
export function useNow(): number {
  const [instant, setInstant] = useState(now);
  useEffect(() => {
    const timer = setInterval(() => setInstant(now()), SECOND);
    return () => clearInterval(timer);
  }, []);
  return instant;
}

/** A duration in milliseconds as text: "4.2 s", "12 min". */
export function durationText(milliseconds: number): string {
  const seconds = Math.max(milliseconds, 0) / SECOND;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

/** Times and lengths of time: in the reader's zone, with UTC on hover, and ages that go on by themselves. */

import { useEffect, useState } from "react";
import { now } from "../api/clock";

const SECOND = 1000;
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

interface TimeProps {
  at: string;
  /** Leave the day out, where a list is of one day for the most part. */
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

/** How long ago something was: "12 s ago". */
export function Age({ since }: { since: string }) {
  return <>{lengthOf(useNow() - Date.parse(since))} ago</>;
}

/** How long until something is to be: "in 4 s". */
export function Until({ at }: { at: string }) {
  const left = Date.parse(at) - useNow();
  return <>{left > 0 ? `in ${lengthOf(left)}` : "now"}</>;
}

/** How long something took, or has taken so far. */
export function Spent({ from, to }: { from: string; to: string | null | undefined }) {
  return to ? lengthOf(Date.parse(to) - Date.parse(from)) : <Running from={from} />;
}

function Running({ from }: { from: string }) {
  return <>{lengthOf(useNow() - Date.parse(from))}</>;
}

/** The server's time, a second at a time. */
export function useNow(): number {
  const [instant, setInstant] = useState(now);
  useEffect(() => {
    const ticking = setInterval(() => setInstant(now()), SECOND);
    return () => clearInterval(ticking);
  }, []);
  return instant;
}

/** Milliseconds for people. */
export function lengthOf(milliseconds: number): string {
  const seconds = Math.max(milliseconds, 0) / SECOND;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} days`;
}

import "@testing-library/jest-dom/vitest";
import { cleanup, configure } from "@testing-library/react";
import { afterEach } from "vitest";

// Milliseconds that `findBy…` waits: a busy machine may take longer than the default of 1000.
configure({ asyncUtilTimeout: 10_000 });

afterEach(cleanup);

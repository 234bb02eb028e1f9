import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Page } from "./page";

const place = document.getElementById("page");
if (!place) throw new Error("The page has no place for GraphiQL.");
createRoot(place).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);

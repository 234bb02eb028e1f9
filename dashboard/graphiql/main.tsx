import "../shared/insecure-context";
import "graphiql/setup-workers/vite";
import "graphiql/style.css";
import "@graphiql/plugin-explorer/style.css";
import "./page.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Page } from "./page";

const root = document.getElementById("page");
if (!root) throw new Error('The HTML page has no element with the id "page".');
createRoot(root).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
